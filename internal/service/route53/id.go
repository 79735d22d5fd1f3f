package route53

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"slices"
)

const idLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// newID makes an id like Route 53's, of which the first letter says what it is
// of: Z0123456 and thirteen more letters and digits.
func newID(kind string) string {
	id := []byte(fmt.Sprintf("%s%08d", kind, number(100_000_000)))
	for range 12 {
		id = append(id, idLetters[number(len(idLetters))])
	}
	return string(id)
}

// newUUID is the id of a health check.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// number is a random one below limit.
func number(limit int) int {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(limit)))
	if err != nil {
		panic(err) // rand.Reader never fails
	}
	return int(n.Int64())
}

// Name servers are numbered; each quarter of the numbers is under a domain of
// its own.
var nameServerDomains = []string{"com", "net", "org", "co.uk"}

const nameServersPerDomain = 512

func nameServer(n, block int) string {
	return fmt.Sprintf("ns-%d.awsdns-%02d.%s", n, block, nameServerDomains[n/nameServersPerDomain])
}

// newNameServers picks four, of each domain one, in any order, and none of those
// that are taken.
func newNameServers(taken []string) []string {
	var four []string
	for i := range nameServerDomains {
		for {
			n := number(nameServersPerDomain)
			// A server is always in the same block of 64.
			name := nameServer(i*nameServersPerDomain+n, (n*37+i*11)%64)
			if !slices.Contains(taken, name) {
				four = append(four, name)
				break
			}
		}
	}
	for i := len(four) - 1; i > 0; i-- {
		j := number(i + 1)
		four[i], four[j] = four[j], four[i]
	}
	return four
}

// privateNameServers are those of all private zones. They answer in the zones'
// VPCs only.
func privateNameServers() []string {
	var four []string
	for i := range nameServerDomains {
		four = append(four, nameServer(i*nameServersPerDomain, 0))
	}
	// AWS has the last one in the SOA record.
	return []string{four[3], four[0], four[1], four[2]}
}
