package dns

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var questions = []struct {
	name  string
	qname string
	qtype uint16
}{
	{"record", "mail.example.com.", dns.TypeA},
	{"alias", "www.example.com.", dns.TypeA},
	{"wildcard", "a.wild.example.com.", dns.TypeA},
	{"chain", "x.cname.example.com.", dns.TypeA},
	{"nothing", "no.example.com.", dns.TypeA},
}

// BenchmarkAnswer is what an answer costs without the network.
func BenchmarkAnswer(b *testing.B) {
	s := New(Config{Logger: quiet})
	s.SetZones(vpc(b))
	s.SetHosted(hosted(b))
	for _, q := range questions {
		b.Run(q.name, func(b *testing.B) {
			packet, err := query(q.qname, q.qtype).SetEdns0(1232, false).Pack()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				req := new(dns.Msg)
				if err := req.Unpack(packet); err != nil {
					b.Fatal(err)
				}
				res := s.answer(b.Context(), req, nil)
				res.Truncate(size(req, false))
				if _, err := res.Pack(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkServe is answers per second of a server on loopback, with its clients on the same machine.
func BenchmarkServe(b *testing.B) {
	for _, network := range []string{"udp", "tcp"} {
		b.Run(network, func(b *testing.B) {
			s := New(Config{Logger: quiet})
			s.SetHosted(hosted(b))
			address := server(b, s)
			b.SetParallelism(16)
			start := time.Now()
			b.RunParallel(func(pb *testing.PB) {
				c := dns.Client{Net: network, Timeout: 10 * time.Second}
				var conn *dns.Conn
				defer func() {
					if conn != nil {
						conn.Close()
					}
				}()
				for n := 0; pb.Next(); n++ {
					if n%100 == 0 { // a connection is good for 128 questions
						if conn != nil {
							conn.Close()
						}
						var err error
						if conn, err = c.Dial(address.String()); err != nil {
							b.Error(err)
							return
						}
					}
					res, _, err := c.ExchangeWithConn(query("www.example.com.", dns.TypeA), conn)
					if err != nil || len(res.Answer) != 1 {
						b.Errorf("%v: %v", res, err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "answers/s")
		})
	}
}

// BenchmarkPrepare is what a zone of 10,000 names costs to index.
func BenchmarkPrepare(b *testing.B) {
	z := Zone{Name: "big.test", Records: records(b, "big.test. 60 IN SOA ns. m. 1 2 3 4 5")}
	for i := range 10_000 {
		name := fmt.Sprintf("host-%d.rack-%d.big.test.", i, i%100)
		z.Records = append(z.Records, &dns.A{Hdr: header(name, dns.TypeA, 60), A: []byte{192, 0, 2, 1}})
	}
	for b.Loop() {
		if _, err := Prepare(z); err != nil {
			b.Fatal(err)
		}
	}
}
