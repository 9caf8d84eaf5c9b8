// Command holdfast is the session server: a development mode with a demo, the server, and the tools around it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/holdfast/holdfast"
	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The second signal ends the program at once, as usual.
	context.AfterFunc(ctx, stop)
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "holdfast: "+explain(err))
		os.Exit(1)
	}
}

// explain is an error's text for a terminal: with the cause, which a client would not be shown.
func explain(err error) string {
	var e *holdfast.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Err)
	}
	return e.Message
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "A session server for AI chat and long-running tasks: the connection may die, the session must not",
		// A failing command says what is wrong in one line; the usage is for --help.
		SilenceUsage: true, SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(devCommand(), serveCommand(), tokenCommand(), storeCommand(), webhookCommand(),
		topCommand(), traceCommand(), doctorCommand(), benchCommand())
	return root
}
