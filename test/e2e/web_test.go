package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// resolveProgram is `resolve [-tcp] SERVER NAME TYPE` in the scripts: one DNS
// question. It prints the response code, and a line for each record of the
// answer, or of the authority if there is none.
func resolveProgram() {
	tcp := flag.Bool("tcp", false, "ask over TCP")
	flag.Parse()
	if err := resolve(*tcp, flag.Arg(0), flag.Arg(1), flag.Arg(2)); err != nil {
		fail(err)
	}
}

func resolve(tcp bool, server, name, kind string) error {
	client := dns.Client{Timeout: 10 * time.Second}
	if tcp {
		client.Net = "tcp"
	}
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.StringToType[kind])
	answer, _, err := client.Exchange(question, server)
	if err != nil {
		return err
	}
	fmt.Println(dns.RcodeToString[answer.Rcode])
	records := answer.Answer
	if len(records) == 0 {
		records = answer.Ns
	}
	for _, rr := range records {
		fmt.Println(strings.Join(strings.Fields(rr.String()), " "))
	}
	return nil
}

// browseProgram is `browse [-map HOST=ADDRESS] [-screenshot FILE] URL` in the
// scripts: headless Chromium opens a page, with the trust of the user whose home
// HOME is. It prints the page as the browser has it, or the browser's error.
func browseProgram() {
	hosts := flag.String("map", "", "the address of a host, as HOST=ADDRESS, as if the system's resolver said so")
	screenshot := flag.String("screenshot", "", "the PNG file to write")
	flag.Parse()
	if err := browse(*hosts, *screenshot, flag.Arg(0)); err != nil {
		fail(err)
	}
}

// loadFailed is how headless Chromium says that it shows no page.
var loadFailed = regexp.MustCompile(`Page load failed: .*`)

func browse(hosts, screenshot, url string) error {
	profile, err := os.MkdirTemp("", "tarn-e2e-browser-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(profile)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// One run writes a picture or the page, not both.
	outputs := []string{"--dump-dom"}
	if screenshot != "" {
		outputs = append(outputs, "--screenshot="+screenshot)
	}
	for _, output := range outputs {
		args := []string{
			"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-sync", "--window-size=800,400", "--timeout=60000", "--user-data-dir=" + profile, output,
		}
		if host, address, ok := strings.Cut(hosts, "="); ok {
			args = append(args, "--host-resolver-rules=MAP "+host+" "+address)
		}
		cmd := exec.CommandContext(ctx, "/usr/bin/chromium", append(args, url)...)
		var page, said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &page, &said
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("chromium: %w\n%s", err, said.Bytes())
		}
		if failed := loadFailed.Find(said.Bytes()); failed != nil {
			fmt.Printf("%s\n", failed)
			return nil
		}
		if output == "--dump-dom" {
			fmt.Printf("%s\n", page.Bytes())
		}
	}
	return nil
}

// loadProgram is `load [-ca FILE] [-at ADDRESS] [-new] [-most N] -until FILE URL`
// in the scripts: eight clients send requests until the file exists, five minutes at
// most. It prints when the first one has ended, and then how many had which end and
// which certificates were seen, and fails if more than N had another end than 200 OK.
func loadProgram() {
	ca := flag.String("ca", "", "the only CA to trust")
	at := flag.String("at", "", "where to connect to, in place of the URL's host")
	fresh := flag.Bool("new", false, "a connection for each request")
	most := flag.Int("most", 0, "how many may have another end than 200 OK")
	until := flag.String("until", "", "the file that ends it")
	flag.Parse()
	if err := load(*ca, *at, *fresh, *most, *until, flag.Arg(0)); err != nil {
		fail(err)
	}
}

func load(ca, at string, fresh bool, most int, until, url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var mu sync.Mutex // guards ends
	ends := map[string]int{}
	count := func(end string) {
		mu.Lock()
		defer mu.Unlock()
		if len(ends) == 0 {
			fmt.Println("begun")
		}
		ends[end]++
	}
	var clients sync.WaitGroup
	for range 8 {
		transport, err := transportOf(ca, at, func() error { return nil })
		if err != nil {
			return err
		}
		transport.DisableKeepAlives = fresh
		client := http.Client{Transport: transport, Timeout: 20 * time.Second}
		clients.Go(func() {
			defer client.CloseIdleConnections()
			pace := time.NewTicker(10 * time.Millisecond)
			defer pace.Stop()
			for ctx.Err() == nil {
				count(request(&client, url, count))
				if _, err := os.Stat(until); err == nil {
					return
				}
				<-pace.C
			}
		})
	}
	clients.Wait()
	bad := 0
	for _, end := range slices.Sorted(maps.Keys(ends)) {
		fmt.Println(ends[end], end)
		if end != "200 OK" && !strings.HasPrefix(end, "certificate ") {
			bad += ends[end]
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s did not come to be", until)
	}
	if bad > most {
		return fmt.Errorf("%d requests did not end with 200 OK, and %d may", bad, most)
	}
	return nil
}

// request sends one, and says how it ended.
func request(client *http.Client, url string, count func(string)) string {
	response, err := client.Get(url)
	if err != nil {
		return "failed: " + err.Error()
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return "failed: " + err.Error()
	}
	if response.TLS != nil {
		count("certificate " + response.TLS.PeerCertificates[0].SerialNumber.Text(16))
	}
	return response.Status
}
