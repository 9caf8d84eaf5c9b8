package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/bench"
)

// benchSettings are those that all scenarios have in common.
type benchSettings struct {
	server bench.ServerOptions
	log    bool
	json   bool
}

// scenario runs one against a server.
type scenario func(ctx context.Context, t *bench.Target) (*bench.Report, error)

func benchCommand() *cobra.Command {
	var b benchSettings
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure a server, and verify what it delivers",
		Long: "Start a server of its own on this machine, put load on it, verify that nothing is lost, doubled, out of order or\n" +
			"altered, and report what the operating system says of it. With --url, --pid and --secret-file a server that runs\n" +
			"is measured: never one that is in use. Needs Linux. The command fails if something was not delivered as it was\n" +
			"written, never for being slow.",
	}
	f := cmd.PersistentFlags()
	f.StringVar(&b.server.URL, "url", "", "URL of a server that runs; empty to start one")
	f.IntVar(&b.server.PID, "pid", 0, "process id of the server that runs")
	f.StringVar(&b.server.SecretFile, "secret-file", "", "file with the secret of the server that runs")
	f.StringVar(&b.server.Dir, "dir", "", "folder for the data of a server that is started; default: that for temporary files")
	f.StringArrayVar(&b.server.Args, "server-arg", nil, "further argument for a server that is started: --server-arg=--durability=process")
	f.BoolVar(&b.log, "server-log", false, "show the log of a server that is started")
	f.BoolVar(&b.json, "json", false, "report as JSON")
	cmd.AddCommand(benchIdle(&b), benchFanout(&b), benchStreams(&b), benchStorm(&b), benchResume(&b), benchHistory(&b))
	return cmd
}

func (b *benchSettings) command(use, short string, run scenario) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return b.run(cmd.Context(), run, cmd.OutOrStdout())
	}}
}

func (b *benchSettings) run(ctx context.Context, run scenario, out io.Writer) error {
	o := b.server
	if o.URL == "" {
		binary, err := os.Executable()
		if err != nil {
			return holdfast.Wrap(holdfast.CodeUnavailable, err, "this program's own file cannot be found")
		}
		o.Binary = binary
	}
	if b.log {
		o.Log = os.Stderr
	}
	target, err := bench.Start(ctx, o)
	if err != nil {
		return err
	}
	defer target.Stop()
	report, err := run(ctx, target)
	if report != nil {
		write := report.Print
		if b.json {
			write = report.JSON
		}
		if printErr := write(out); printErr != nil {
			return printErr
		}
	}
	if err != nil {
		return err
	}
	if n := report.Failed(); n > 0 {
		return holdfast.Errorf(holdfast.CodeInternal, "%d times something was not received as it was written", n)
	}
	return nil
}

func benchIdle(b *benchSettings) *cobra.Command {
	var o bench.IdleOptions
	cmd := b.command("idle", "What connections cost that do nothing", func(ctx context.Context, t *bench.Target) (*bench.Report, error) {
		return bench.Idle(ctx, t, o)
	})
	cmd.Flags().IntVar(&o.Connections, "connections", 0, "how many there are (default 15000)")
	cmd.Flags().DurationVar(&o.Settle, "settle", 0, "how long nothing happens before memory is looked at (default 20s)")
	return cmd
}

func benchFanout(b *benchSettings) *cobra.Command {
	var o bench.FanoutOptions
	cmd := b.command("fanout", "Deliver one session's messages to many readers", func(ctx context.Context, t *bench.Target) (*bench.Report, error) {
		return bench.Fanout(ctx, t, o)
	})
	cmd.Flags().IntVar(&o.Readers, "readers", 0, "how many connections read (default 5000)")
	cmd.Flags().DurationVar(&o.Duration, "duration", 0, "how long is written (default 15s)")
	cmd.Flags().IntVar(&o.Writers, "writers", 0, "how many messages are under way at a time (default 16)")
	cmd.Flags().IntVar(&o.Size, "size", 0, "size of a message's data, in bytes (default 128)")
	cmd.Flags().IntVar(&o.Decoders, "decoders", 0, "how many readers decode every frame in full (default 16)")
	return cmd
}

func benchStreams(b *benchSettings) *cobra.Command {
	var o bench.StreamsOptions
	cmd := b.command("streams", "Stream many answers to a reader each", func(ctx context.Context, t *bench.Target) (*bench.Report, error) {
		return bench.Streams(ctx, t, o)
	})
	cmd.Flags().IntVar(&o.Runs, "runs", 0, "how many answers are written at once (default 1000)")
	cmd.Flags().IntVar(&o.Rate, "rate", 0, "fragments per second of each (default 20)")
	cmd.Flags().DurationVar(&o.Duration, "duration", 0, "how long is written (default 15s)")
	cmd.Flags().BoolVar(&o.Requests, "requests", false, "make one HTTP request of each fragment instead of one of each answer")
	cmd.Flags().IntVar(&o.Decoders, "decoders", 0, "how many readers decode every frame in full (default 16)")
	return cmd
}

func benchStorm(b *benchSettings) *cobra.Command {
	var o bench.StormOptions
	cmd := b.command("storm", "Let many clients drop and come back together", func(ctx context.Context, t *bench.Target) (*bench.Report, error) {
		return bench.Storm(ctx, t, o)
	})
	cmd.Flags().IntVar(&o.Clients, "clients", 0, "how many there are (default 5000)")
	cmd.Flags().IntVar(&o.Sessions, "sessions", 0, "how many sessions they share (default 500)")
	cmd.Flags().IntVar(&o.Missed, "missed", 0, "messages per session that they miss (default 10)")
	return cmd
}

func benchResume(b *benchSettings) *cobra.Command {
	var o bench.ResumeOptions
	cmd := b.command("resume", "Count the bytes that a resume inside an answer takes", func(ctx context.Context, t *bench.Target) (*bench.Report, error) {
		return bench.Resume(ctx, t, o)
	})
	cmd.Flags().IntVar(&o.Tokens, "tokens", 0, "fragments of the answer (default 20000)")
	cmd.Flags().IntSliceVar(&o.Missed, "missed", nil, "how many of the last fragments were missed (default 40,2400,all)")
	return cmd
}

func benchHistory(b *benchSettings) *cobra.Command {
	var o bench.HistoryOptions
	cmd := b.command("history", "Read the end of a long session, and restart with many", func(ctx context.Context, t *bench.Target) (*bench.Report, error) {
		return bench.History(ctx, t, o)
	})
	cmd.Flags().IntVar(&o.Entries, "entries", 0, "entries of the long session (default 1000000)")
	cmd.Flags().IntVar(&o.Short, "short", 0, "entries of the short one (default 100)")
	cmd.Flags().IntVar(&o.Sessions, "sessions", 0, "idle sessions besides (default 100000)")
	cmd.Flags().IntVar(&o.Reads, "reads", 0, "how often each is read (default 300)")
	return cmd
}
