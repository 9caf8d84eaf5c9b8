package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/admin"
)

// console asks the operator's page of a running server.
type console struct {
	url, passwordFile, name string
	// web keeps the page's cookie: who has given the right password is not locked out when somebody beside them guesses.
	web http.Client
}

func (c *console) register(f *pflag.FlagSet) {
	c.web.Jar, _ = cookiejar.New(nil) // never fails
	f.StringVar(&c.url, "admin-url", "http://127.0.0.1:8081", "where the server's operator's page is")
	f.StringVar(&c.passwordFile, "admin-password-file", "", "file with its password")
	f.StringVar(&c.name, "name", os.Getenv("USER"), "your name")
}

// get asks one of the page's routes. Refusals come with the server's words.
func (c *console) get(ctx context.Context, what string, of url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.url, "/")+"/api/"+what+"?"+of.Encode(), nil)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeInvalid, err, "--admin-url is no address")
	}
	password, err := readPassword(c.passwordFile)
	if err != nil {
		return err
	}
	req.SetBasicAuth(max(c.name, "operator"), password)
	res, err := c.web.Do(req)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "the operator's page at %s cannot be reached; see --admin-url", c.url)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusUnauthorized {
		return holdfast.Errorf(holdfast.CodeUnauthorized, "the operator's page refuses the password; see --admin-password-file")
	}
	if res.StatusCode != http.StatusOK {
		var problem struct {
			Code   holdfast.Code `json:"code"`
			Detail string        `json:"detail"`
		}
		if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&problem); err != nil {
			return holdfast.Errorf(holdfast.CodeUnavailable, "the operator's page answers %s", res.Status)
		}
		return &holdfast.Error{Code: problem.Code, Message: problem.Detail}
	}
	return json.NewDecoder(res.Body).Decode(into)
}

func topCommand() *cobra.Command {
	var c console
	var every time.Duration
	var times int
	cmd := &cobra.Command{
		Use: "top", Short: "Show how a running server stands, again and again", Args: cobra.NoArgs,
		Example: "  holdfast top --admin-url http://127.0.0.1:8081 --admin-password-file look.secret",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.top(cmd.Context(), cmd.OutOrStdout(), every, times)
		},
	}
	c.register(cmd.Flags())
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "how long between two lines")
	cmd.Flags().IntVar(&times, "times", 0, "how many lines; 0 until it is stopped")
	return cmd
}

// top prints a line for each sample; a line's rates are those since the one before.
func (c *console) top(ctx context.Context, out io.Writer, every time.Duration, times int) error {
	if every <= 0 {
		return holdfast.Errorf(holdfast.CodeInvalid, "--every must be more than 0")
	}
	var before admin.Figures
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; times == 0 || n < times; n++ {
		if n > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
		var now admin.Figures
		if err := c.get(ctx, "now", nil, &now); err != nil {
			return err
		}
		if n%20 == 0 {
			fmt.Fprintf(out, "%-8s %-9s %8s %8s %8s %9s %9s %9s %9s %8s\n",
				"time", "phase", "conns", "users", "sessions", "connect/s", "ends/s", "entries/s", "frags/s", "heap MB")
		}
		fmt.Fprintln(out, topLine(&before, &now))
		before = now
	}
	return nil
}

func topLine(before, now *admin.Figures) string {
	took := now.At.Sub(before.At).Seconds()
	if before.Started != now.Started {
		before, took = now, 1 // the first line, or another process
	}
	rate := func(a, b int64) float64 { return float64(b-a) / took }
	return fmt.Sprintf("%-8s %-9.9s %8d %8d %8d %9.1f %9.1f %9.1f %9.1f %8.1f",
		now.At.Local().Format(time.TimeOnly), now.Phase, now.Connections, now.Users, now.Sessions, rate(before.Attached, now.Attached),
		rate(before.Ended, now.Ended), rate(before.Entries, now.Entries), rate(before.Fragments, now.Fragments), float64(now.Heap)/1e6)
}

func traceCommand() *cobra.Command {
	var c console
	var since time.Duration
	cmd := &cobra.Command{
		Use: "trace session|user|conn NAME", Short: "Tell what a session, a user or a connection went through", Args: cobra.ExactArgs(2),
		Long: "Tell what a session's readers, a user or a connection went through, as far as the server remembers it: what the server saw,\n" +
			"what clients say of themselves, and what stands in the session's log, on one clock.",
		Example: "  holdfast trace session chat-1 --admin-password-file look.secret\n  holdfast trace user anna --since 10m --admin-password-file look.secret",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.trace(cmd.Context(), cmd.OutOrStdout(), args[0], args[1], since)
		},
	}
	c.register(cmd.Flags())
	cmd.Flags().DurationVar(&since, "since", 0, "how far back; 0 as far as the server remembers")
	return cmd
}

// traced is a record as the page's routes give it.
type traced struct {
	At      time.Time       `json:"at"`
	Source  string          `json:"source"`
	Event   string          `json:"event"`
	User    string          `json:"user"`
	Client  string          `json:"client"`
	Conn    string          `json:"conn"`
	Session string          `json:"session"`
	Data    json.RawMessage `json:"data"`
}

func (c *console) trace(ctx context.Context, out io.Writer, kind, name string, since time.Duration) error {
	if !slices.Contains([]string{"session", "user", "conn"}, kind) {
		return holdfast.Errorf(holdfast.CodeInvalid, "trace what? session, user or conn, not %q", kind)
	}
	of := url.Values{kind: {name}}
	if since > 0 {
		of.Set("from", fmt.Sprint(time.Now().Add(-since).UnixMilli()))
	}
	var all []traced
	if err := c.get(ctx, "timeline", of, &all); err != nil {
		return err
	}
	if len(all) == 0 {
		return holdfast.Errorf(holdfast.CodeNotFound, "the server remembers nothing of %s %s", kind, name)
	}
	for i := range all {
		fmt.Fprintln(out, all[i].line())
	}
	return nil
}

// line has the names after the event, and what more is known as it came.
func (r *traced) line() string {
	var who []string
	for _, name := range []string{r.Session, r.User, r.Client, r.Conn} {
		if name != "" {
			who = append(who, name)
		}
	}
	return strings.TrimRight(fmt.Sprintf("%s  %-6s  %-10s  %-40s  %s",
		r.At.Local().Format("2006-01-02 15:04:05.000"), r.Source, r.Event, strings.Join(who, " "), r.Data), " ")
}
