package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/doctor"
)

type doctorSettings struct {
	tokenFile, origin, ca, data string
	idle                        time.Duration
}

func doctorCommand() *cobra.Command {
	var d doctorSettings
	cmd := &cobra.Command{
		Use: "doctor [URL]", Short: "Check a deployment, and say what to change", Args: cobra.MaximumNArgs(1),
		Long: "Check a deployment from a client's place: whether proxies on the way let through what sessions need. With --data,\n" +
			"on the server's machine, also its limits and its disk. It exits with 1 if something has failed.",
		Example: "  holdfast token --user doctor --secret-file jwt.secret > doctor.token\n  holdfast doctor https://chat.example.com --token-file doctor.token --origin https://app.example.com\n" +
			"  holdfast doctor --data /var/lib/holdfast",
		RunE: func(cmd *cobra.Command, args []string) error { return d.run(cmd, args) },
	}
	f := cmd.Flags()
	f.StringVar(&d.tokenFile, "token-file", "", "file with a token of any user; without one only half of the checks can be made")
	f.StringVar(&d.origin, "origin", "", "origin of the page that will connect, as https://app.example.com")
	f.StringVar(&d.ca, "ca", "", "file with the certificate (PEM) of an authority of your own")
	f.DurationVar(&d.idle, "idle", 70*time.Second, "how long to leave a connection silent, to see who cuts it; 0 leaves that out")
	f.StringVar(&d.data, "data", "", "data folder of the server on this machine: looks at its disk and at the limit of open files")
	return cmd
}

func (d *doctorSettings) run(cmd *cobra.Command, args []string) error {
	if len(args) == 0 && d.data == "" {
		return holdfast.Errorf(holdfast.CodeInvalid, "say what to check: the server's address, as https://chat.example.com, or its data folder with --data")
	}
	failed := 0
	report := func(f doctor.Finding) {
		if f.Level == doctor.Fail {
			failed++
		}
		printFinding(cmd.OutOrStdout(), f)
	}
	if d.data != "" {
		doctor.ExamineHost(d.data, report)
	}
	if len(args) == 1 {
		o, err := d.options(args[0])
		if err != nil {
			return err
		}
		if err := doctor.Examine(cmd.Context(), o, report); err != nil {
			return err
		}
	}
	if failed > 0 {
		return holdfast.Errorf(holdfast.CodeConflict, "%d of the checks failed; what to change stands beside them", failed)
	}
	return nil
}

func (d *doctorSettings) options(url string) (doctor.Options, error) {
	o := doctor.Options{URL: url, Origin: d.origin, Idle: d.idle}
	if d.idle == 0 {
		o.Idle = -1
	}
	if d.tokenFile != "" {
		token, err := os.ReadFile(d.tokenFile)
		if err != nil {
			return o, holdfast.Wrap(holdfast.CodeInvalid, err, "the token's file cannot be read")
		}
		o.Token = strings.TrimSpace(string(token))
	}
	if d.ca != "" {
		text, err := os.ReadFile(d.ca)
		if err != nil {
			return o, holdfast.Wrap(holdfast.CodeInvalid, err, "the authority's file cannot be read")
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return o, holdfast.Errorf(holdfast.CodeInvalid, "there is no certificate (PEM) in %s", d.ca)
		}
		o.TLS = &tls.Config{RootCAs: pool}
	}
	return o, nil
}

// printFinding writes a line, and a second one if there is something to do.
func printFinding(w io.Writer, f doctor.Finding) {
	fmt.Fprintf(w, "%-5s %-18s %s\n", f.Level, f.Check, f.What)
	if f.Do != "" {
		fmt.Fprintf(w, "%-5s %-18s -> %s\n", "", "", f.Do)
	}
}
