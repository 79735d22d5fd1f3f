package hostdns

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// title is how a region's directory stands in a line of a file.
func title(dataDir string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if dataDir == "" || !utf8.ValidString(dataDir) || strings.ContainsFunc(dataDir, odd) || strings.TrimSpace(dataDir) != dataDir {
		return strconv.Quote(dataDir)
	}
	return dataDir
}

// hostLines are lines of /etc/hosts, the names in them, and those that have no
// place there. Names under localhost are in neither.
func hostLines(hosts map[string]netip.Addr) (lines []byte, names, leftOut []string) {
	addresses := map[string]netip.Addr{}
	for h, addr := range hosts {
		switch name := normal(h); {
		case underLocalhost(name):
		case hostName(name) && addr.IsValid():
			addresses[name] = addr
		default:
			leftOut = append(leftOut, h)
		}
	}
	names = slices.Sorted(maps.Keys(addresses))
	for _, name := range names {
		lines = fmt.Appendf(lines, "%s\t%s\n", addresses[name], name)
	}
	slices.Sort(leftOut)
	return lines, names, leftOut
}

// splice puts a region's lines into a hosts file, between its marks, and takes
// those out that were there. Without lines there are no marks either. All else
// stays as it is, byte for byte; only a last line that had no end gets one.
func splice(hosts []byte, title string, lines []byte) []byte {
	begin, end := "# BEGIN tarn "+title, "# END tarn "+title
	var block []byte
	if len(lines) > 0 {
		block = slices.Concat([]byte(begin+"\n"), lines, []byte(end+"\n"))
	}
	var out []byte
	placed := false
	place := func() {
		if !placed {
			out, placed = append(out, block...), true
		}
	}
	rest := slices.Collect(bytes.Lines(hosts))
	for len(rest) > 0 {
		line := rest[0]
		switch mark(line) {
		case begin:
			rest = rest[blockLength(rest, begin, end):]
			place()
		case end: // of a block whose begin somebody has removed
			rest = rest[1:]
		default:
			rest = rest[1:]
			out = append(out, line...)
		}
	}
	if !placed && len(block) > 0 {
		if len(out) > 0 && out[len(out)-1] != '\n' {
			out = append(out, '\n')
		}
		place()
	}
	return out
}

// blockLength is how many lines a block has, its marks included. In one that has
// lost its end, only what a region writes belongs to it.
func blockLength(lines [][]byte, begin, end string) int {
	for n := 1; n < len(lines); n++ {
		switch mark(lines[n]) {
		case end:
			return n + 1
		case begin:
			return writtenLines(lines)
		}
	}
	return writtenLines(lines)
}

// balancers are the addresses that load balancers have on the host.
var balancers = netip.MustParsePrefix("127.64.0.0/10")

func writtenLines(lines [][]byte) int {
	n := 1
	for ; n < len(lines); n++ {
		addr, name, _ := strings.Cut(mark(lines[n]), "\t")
		if a, err := netip.ParseAddr(addr); err != nil || !balancers.Contains(a) || !hostName(name) {
			break
		}
	}
	return n
}

// mark is a line without its end.
func mark(line []byte) string { return strings.TrimRight(string(line), " \t\r\n") }
