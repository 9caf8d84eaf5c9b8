package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast"
)

// webhookTool talks to a running server over its HTTP API.
type webhookTool struct{ url, tokenFile string }

func webhookCommand() *cobra.Command {
	var w webhookTool
	cmd := &cobra.Command{
		Use: "webhook", Short: "See how webhooks stand, list dead letters, send events again",
		Long: "Look after the webhooks of a running server, over its HTTP API, with a backend's token.",
	}
	cmd.PersistentFlags().StringVar(&w.url, "url", "http://127.0.0.1:8080", "URL of the server")
	cmd.PersistentFlags().StringVar(&w.tokenFile, "token-file", "-", "file with a backend's token; - for standard input")
	cmd.AddCommand(w.ls(), w.letters(), w.replay(), w.enable())
	return cmd
}

// call makes one request. A refusal is an error with what the server says of it.
func (w *webhookTool) call(cmd *cobra.Command, method, path string, in, out any) error {
	token, err := w.token(cmd.InOrStdin())
	if err != nil {
		return err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(w.url, "/")+"/v1/webhooks"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	if in == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "the server cannot be reached; name it with --url")
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return refusal(res, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

func refusal(res *http.Response, text []byte) error {
	var problem struct {
		Code   holdfast.Code `json:"code"`
		Detail string        `json:"detail"`
	}
	if err := json.Unmarshal(text, &problem); err != nil || problem.Detail == "" {
		return holdfast.Errorf(holdfast.CodeUnavailable, "the server answered %s; is it a Holdfast server?", res.Status)
	}
	return holdfast.Errorf(problem.Code, "%s", problem.Detail)
}

func (w *webhookTool) token(stdin io.Reader) (string, error) {
	var text []byte
	var err error
	if w.tokenFile == "-" {
		text, err = io.ReadAll(io.LimitReader(stdin, 64<<10))
	} else {
		text, err = os.ReadFile(w.tokenFile)
	}
	if err != nil {
		return "", holdfast.Wrap(holdfast.CodeInvalid, err, "the token cannot be read; name a file with --token-file")
	}
	return strings.TrimSpace(string(text)), nil
}

func (w *webhookTool) ls() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the endpoints and how they stand", Args: cobra.NoArgs,
		Example: "  holdfast token --backend --secret-file jwt.secret | holdfast webhook ls",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var answer struct {
				Webhooks []struct {
					Name, URL, State, Reason, Error string
					Behind                          int
				}
			}
			if err := w.call(cmd, http.MethodGet, "", nil, &answer); err != nil {
				return err
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(t, "NAME\tSTATE\tBEHIND\tURL\tLAST ERROR")
			for _, h := range answer.Webhooks {
				fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%q\n", h.Name, h.State, h.Behind, h.URL, h.Reason+h.Error)
			}
			return t.Flush()
		},
	}
}

func (w *webhookTool) letters() *cobra.Command {
	return &cobra.Command{
		Use: "letters ENDPOINT", Short: "Print an endpoint's dead letters, one JSON object a line", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			after := ""
			for {
				var answer struct {
					Letters []json.RawMessage
					Next    string
				}
				path := "/" + url.PathEscape(args[0]) + "/letters?after=" + url.QueryEscape(after)
				if err := w.call(cmd, http.MethodGet, path, nil, &answer); err != nil {
					return err
				}
				for _, l := range answer.Letters {
					if _, err := cmd.OutOrStdout().Write(append(l, '\n')); err != nil {
						return err
					}
				}
				if after = answer.Next; after == "" {
					return nil
				}
			}
		},
	}
}

func (w *webhookTool) replay() *cobra.Command {
	var all bool
	var since time.Duration
	cmd := &cobra.Command{
		Use: "replay ENDPOINT [LETTER...]", Short: "Send dead letters, or what happened lately, again", Args: cobra.MinimumNArgs(1),
		Example: "  holdfast webhook replay default --all\n  holdfast webhook replay default --since 2h",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := map[string]any{}
			if all {
				in["allLetters"] = true
			}
			if cmd.Flags().Changed("since") {
				in["since"] = time.Now().Add(-since).UnixMilli()
			}
			if len(args) > 1 {
				in["letters"] = args[1:]
			}
			var answer struct{ Letters int }
			if err := w.call(cmd, http.MethodPost, "/"+url.PathEscape(args[0])+"/replay", in, &answer); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "noted; %d dead letters are sent again\n", answer.Letters)
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters")
	cmd.Flags().DurationVar(&since, "since", 0, "everything that happened in this time, as far as the feed has it")
	return cmd
}

func (w *webhookTool) enable() *cobra.Command {
	return &cobra.Command{
		Use: "enable ENDPOINT", Short: "Let an endpoint that answered 410 Gone have events again", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return w.call(cmd, http.MethodPost, "/"+url.PathEscape(args[0])+"/enable", nil, nil)
		},
	}
}
