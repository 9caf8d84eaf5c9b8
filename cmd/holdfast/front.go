package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/remote"
	"github.com/holdfast/holdfast/server"
)

// frontSettings are those of what stands between a client and the server: proxies, TLS, and limits.
type frontSettings struct {
	trusted           []string
	proxyProtocol     bool
	certFile, keyFile string

	limits server.Limits
}

func (s *frontSettings) register(f *pflag.FlagSet) {
	f.StringSliceVar(&s.trusted, "trusted-proxies", nil, "networks of the proxies in front, as 10.0.0.0/8: their X-Forwarded-For says where a client is")
	f.BoolVar(&s.proxyProtocol, "proxy-protocol", false, "connections of trusted proxies begin with a header of the PROXY protocol, version 1 or 2")
	f.StringVar(&s.certFile, "tls-cert-file", "", "certificate chain (PEM) to serve TLS with; empty for none. It is read again when it changes")
	f.StringVar(&s.keyFile, "tls-key-file", "", "private key (PEM) of the certificate")

	l := &s.limits
	f.IntVar(&l.Node.Connections, "max-connections", 0, "how many connections there may be; 0 for as many as come")
	f.IntVar(&l.User.Connections, "max-connections-per-user", 200, "how many connections one user may have; 0 for any number")
	f.IntVar(&l.Address.Connections, "max-connections-per-address", 0, "how many connections one address may have, of IPv6 64 bits of it; 0 for any number")
	f.Float64Var(&l.Node.Attaches, "attach-rate", 0, "connections per second that may attach; 0 for any number")
	f.Float64Var(&l.User.Attaches, "attach-rate-per-user", 10, "connections per second of one user that may attach for long, and ten times that at once; 0 for any number")
	f.Float64Var(&l.Address.Attaches, "attach-rate-per-address", 0, "connections per second from one address for long, and ten times that at once; 0 for any number")
	f.Float64Var(&l.User.Frames, "rate-per-user", 200, "frames per second that all connections of one user may send for long, and four times that at once; 0 for any number")
	f.Float64Var(&l.Address.Frames, "rate-per-address", 0, "the same for one address")
	f.Float64Var(&l.Connection.Bytes, "bytes-rate", 1<<20, "bytes per second that one connection may send for long, and four times that at once; 0 for any number")
	f.Float64Var(&l.User.Bytes, "bytes-rate-per-user", 4<<20, "the same for all connections of one user")
	f.Float64Var(&l.Address.Bytes, "bytes-rate-per-address", 0, "the same for one address")
	f.IntVar(&l.User.Sessions, "max-sessions-per-user", 2000, "how many sessions all connections of one user may read, one that two of them read counting twice; 0 for any number")
}

// proxies are the trusted networks.
func (s *frontSettings) proxies() (remote.Trusted, error) {
	var all remote.Trusted
	for _, text := range s.trusted {
		p, err := netip.ParsePrefix(text)
		if a, aerr := netip.ParseAddr(text); err != nil && aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, holdfast.Errorf(holdfast.CodeInvalid, "trusted-proxies has %q, which is no network; write it as 10.0.0.0/8", text)
		}
		all = append(all, p.Masked())
	}
	if s.proxyProtocol && len(all) == 0 {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "proxy-protocol needs trusted-proxies: whoever may send the header may claim any address")
	}
	return all, nil
}

// certificate reads the certificate; nil if there is to be no TLS.
func (s *frontSettings) certificate() (*tls.Certificate, error) {
	switch {
	case s.certFile == "" && s.keyFile == "":
		return nil, nil
	case s.certFile == "" || s.keyFile == "":
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "TLS needs both tls-cert-file and tls-key-file")
	}
	c, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the certificate cannot be used")
	}
	return &c, nil
}

// wrap puts TLS and the PROXY protocol over a listener, as the settings say.
func (s *frontSettings) wrap(l net.Listener, certs *certificates) (net.Listener, error) {
	trusted, err := s.proxies()
	if err != nil {
		return nil, err
	}
	if s.proxyProtocol {
		l = trusted.Listen(l)
	}
	if certs == nil {
		return l, nil
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certs.current.Load(), nil },
	}), nil
}

// certificates is the certificate that is served now. One that cannot be used never takes the place of one that can.
type certificates struct {
	current atomic.Pointer[tls.Certificate]
	log     *slog.Logger
}

// newCertificates returns nil if there is to be no TLS.
func newCertificates(s *frontSettings, log *slog.Logger) (*certificates, error) {
	c, err := s.certificate()
	if err != nil || c == nil {
		return nil, err
	}
	certs := &certificates{log: log}
	certs.current.Store(c)
	return certs, nil
}

// certLook is how often the certificate's file is looked at: whoever renews it need not tell.
const certLook = 30 * time.Second

// watch reads the certificate again when its file has changed, until ctx ends.
func (c *certificates) watch(ctx context.Context, files func() frontSettings) {
	tick := time.NewTicker(certLook)
	defer tick.Stop()
	seen := changed(files())
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := files()
		now := changed(s)
		if now.Equal(seen) {
			continue
		}
		next, err := s.certificate()
		if err != nil || next == nil {
			// It may be half written; the next look tells.
			c.log.Warn("the certificate's file has changed and cannot be used; the one before is served on", "err", err)
			continue
		}
		seen = now
		c.current.Store(next)
		c.log.Info("the certificate was read again")
	}
}

// changed is when the later of the two files was.
func changed(s frontSettings) (latest time.Time) {
	for _, name := range []string{s.certFile, s.keyFile} {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(latest) {
			latest = info.ModTime()
		}
	}
	return latest
}
