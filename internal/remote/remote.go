// Package remote says whom a connection came from where proxies stand in front: from X-Forwarded-For and from the PROXY
// protocol, and only if the proxy is one that is trusted. Anybody can write a header.
package remote

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Trusted are the networks of the proxies.
type Trusted []netip.Prefix

// Has reports whether an address is a trusted proxy's.
func (t Trusted) Has(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return a.IsValid() && slices.ContainsFunc(t, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Of returns the address of the client: the peer's, or, where that is a trusted proxy, the last one in X-Forwarded-For that is
// not. What stands before that one is the client's own word. The port is 0 where only the header knows the address.
func (t Trusted) Of(r *http.Request) netip.AddrPort {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr) // a Unix socket has none, and gets the zero value
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	if !t.Has(peer.Addr()) {
		return peer
	}
	chain := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(chain) - 1; i >= 0; i-- {
		hop, ok := parse(chain[i])
		if !ok {
			break // whoever stands before it is not known either
		}
		peer = hop
		if !t.Has(hop.Addr()) {
			break
		}
	}
	return peer
}

// parse reads an element of the header: an address, perhaps in brackets, perhaps with a port.
func parse(s string) (netip.AddrPort, bool) {
	s = strings.TrimSpace(s)
	if p, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return netip.AddrPortFrom(a.Unmap(), 0), err == nil
}
