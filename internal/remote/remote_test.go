package remote

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var proxies = Trusted{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func TestOf(t *testing.T) {
	cases := map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"a stranger's header is not believed":    {"192.0.2.7:40", []string{"198.51.100.1"}, "192.0.2.7:40"},
		"a proxy's is":                           {"10.1.1.1:40", []string{"198.51.100.1"}, "198.51.100.1:0"},
		"a proxy that says nothing":              {"10.1.1.1:40", nil, "10.1.1.1:40"},
		"the client's own word is passed over":   {"10.1.1.1:40", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1:0"},
		"two proxies":                            {"10.1.1.1:40", []string{"203.0.113.9, 198.51.100.1, 10.2.2.2"}, "198.51.100.1:0"},
		"two headers":                            {"10.1.1.1:40", []string{"203.0.113.9", "198.51.100.1"}, "198.51.100.1:0"},
		"nothing but proxies":                    {"10.1.1.1:40", []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3:0"},
		"what is no address ends it":             {"10.1.1.1:40", []string{"198.51.100.1, unknown, 10.2.2.2"}, "10.2.2.2:0"},
		"IPv6, with a port":                      {"[::1]:40", []string{"[2001:db8::5]:1234"}, "[2001:db8::5]:1234"},
		"IPv6, in brackets":                      {"[::1]:40", []string{"[2001:db8::5]"}, "[2001:db8::5]:0"},
		"IPv4 in IPv6 is IPv4":                   {"[::ffff:10.1.1.1]:40", []string{"::ffff:198.51.100.1"}, "198.51.100.1:0"},
		"a peer without an address (a pathname)": {"@", []string{"198.51.100.1"}, "invalid AddrPort"},
	}
	for name, c := range cases {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := proxies.Of(r).String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func v2(command, family byte, rest ...byte) string {
	return string(signature) + string([]byte{0x20 | command, family, byte(len(rest) >> 8), byte(len(rest))}) + string(rest)
}

func TestReadHeader(t *testing.T) {
	ip4 := []byte{198, 51, 100, 1, 10, 0, 0, 1, 0x30, 0x39, 0, 80}
	ip6 := append(append(netip.MustParseAddr("2001:db8::5").AsSlice(), make([]byte, 16)...), 0x30, 0x39, 0, 80)
	cases := map[string]struct {
		in, want string
		fails    bool
	}{
		"version 1, IPv4":               {"PROXY TCP4 198.51.100.1 10.0.0.1 12345 80\r\n", "198.51.100.1:12345", false},
		"version 1, IPv6":               {"PROXY TCP6 2001:db8::5 ::1 12345 80\r\n", "[2001:db8::5]:12345", false},
		"version 1, unknown":            {"PROXY UNKNOWN\r\n", "invalid AddrPort", false},
		"version 1, for ever":           {"PROXY " + strings.Repeat("x", 200), "", true},
		"version 1, no port":            {"PROXY TCP4 198.51.100.1 10.0.0.1 x 80\r\n", "", true},
		"version 1, too few words":      {"PROXY TCP4 198.51.100.1\r\n", "", true},
		"version 2, IPv4":               {v2(1, 0x11, ip4...), "198.51.100.1:12345", false},
		"version 2, IPv4, with extras":  {v2(1, 0x11, append(bytes.Clone(ip4), 4, 0, 1, 0)...), "198.51.100.1:12345", false},
		"version 2, IPv6":               {v2(1, 0x21, ip6...), "[2001:db8::5]:12345", false},
		"version 2, the proxy's own":    {v2(0, 0), "invalid AddrPort", false},
		"version 2, another family":     {v2(1, 0x31, make([]byte, 216)...), "invalid AddrPort", false},
		"version 2, broken off":         {v2(1, 0x11, ip4...)[:20], "", true},
		"version 3":                     {string(signature) + "\x31\x11\x00\x00", "", true},
		"a request without a header":    {"GET / HTTP/1.1\r\n", "", true},
		"version 2, larger than it may": {string(signature) + "\x21\x11\xff\xff", "", true},
	}
	for name, c := range cases {
		r := strings.NewReader(c.in + "GET /")
		got, err := readHeader(r)
		if (err != nil) != c.fails || !c.fails && got.String() != c.want {
			t.Errorf("%s: %s, %v, want %q", name, got, err, c.want)
		}
		if rest, _ := io.ReadAll(r); err == nil && string(rest) != "GET /" {
			t.Errorf("%s: what follows is %q", name, rest)
		}
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 198.51.100.1 10.0.0.1 12345 80\r\n"))
	f.Add([]byte(v2(1, 0x11, 198, 51, 100, 1, 10, 0, 0, 1, 0x30, 0x39, 0, 80)))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		if _, err := readHeader(r); err == nil && len(in)-r.Len() > 16+maxV2 {
			t.Errorf("%d bytes were taken", len(in)-r.Len())
		}
	})
}

// Only connections of trusted proxies have a header; a proxy that sends none does not keep others waiting.
func TestListen(t *testing.T) {
	for name, c := range map[string]struct {
		trusted Trusted
		send    string
		remote  string
	}{
		"trusted":   {Trusted{netip.MustParsePrefix("127.0.0.0/8")}, "PROXY TCP4 198.51.100.1 10.0.0.1 12345 80\r\nhello", "198.51.100.1:12345"},
		"untrusted": {proxies, "hello", ""},
	} {
		t.Run(name, func(t *testing.T) {
			base, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l := c.trusted.Listen(base)
			defer l.Close()
			mute, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer mute.Close()
			out, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			if _, err := io.WriteString(out, c.send); err != nil {
				t.Fatal(err)
			}
			first, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer first.Close()
			in, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			want := c.remote
			if want == "" {
				want = out.LocalAddr().String()
			}
			_ = in.SetReadDeadline(time.Now().Add(5 * time.Second))
			if got := in.RemoteAddr().String(); got != want {
				t.Errorf("it came from %s, want %s", got, want)
			}
			p := make([]byte, 5)
			if _, err := io.ReadFull(in, p); err != nil || string(p) != "hello" {
				t.Errorf("read %q, %v", p, err)
			}
		})
	}
}
