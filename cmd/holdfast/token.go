package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
)

// secretKey reads a secret from a file as a key.
func secretKey(path string) (auth.Key, error) {
	secret, err := auth.LoadSecret(path)
	if err != nil {
		return auth.Key{}, err
	}
	return auth.SecretKey("", secret)
}

type tokenSettings struct {
	data, secretFile, newSecret string
	user                        string
	read, send, stop            []string
	rules                       []string
	backend                     bool
	life                        time.Duration
}

func tokenCommand() *cobra.Command {
	var t tokenSettings
	cmd := &cobra.Command{
		Use: "token", Short: "Mint a token for development", Args: cobra.NoArgs,
		Long: "Mint a token for development, signed with the secret of a development server's data folder, or with a secret file.\n" +
			"In production your own backend signs tokens; see docs/operations.md.",
		Example: "  holdfast token --backend\n  holdfast token --user anna --read 'chat-*' --send 'chat-*'\n  holdfast token --new-secret jwt.secret",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if t.newSecret != "" {
				return auth.SaveSecret(t.newSecret, auth.NewSecret())
			}
			token, err := t.mint()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.data, "data", "holdfast-data", "data folder of the development server whose secret signs the token")
	f.StringVar(&t.secretFile, "secret-file", "", "file with the secret, instead of the data folder's")
	f.StringVar(&t.newSecret, "new-secret", "", "write a new secret to this file, for serve --jwt-secret-file, and do nothing else")
	f.StringVar(&t.user, "user", "", "whom the token is for")
	f.StringSliceVar(&t.read, "read", nil, "patterns of sessions that may be read; * stands for any characters, {user} for the user")
	f.StringSliceVar(&t.send, "send", nil, "patterns of sessions that may be sent to")
	f.StringSliceVar(&t.stop, "stop", nil, "patterns of sessions whose runs may be stopped")
	f.StringSliceVar(&t.rules, "connections", nil, "rules on the user's connections besides the server's, such as \"max=1 on=ask\"")
	f.BoolVar(&t.backend, "backend", false, "a token for a backend: it may do everything")
	f.DurationVar(&t.life, "life", 24*time.Hour, "how long the token is valid")
	return cmd
}

func (t *tokenSettings) mint() (string, error) {
	path := t.secretFile
	if path == "" {
		path = filepath.Join(t.data, devSecret)
	}
	key, err := secretKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", holdfast.Wrap(holdfast.CodeNotFound, err, "there is no secret at %s: start holdfast dev once, or name a file with --secret-file", path)
	}
	if err != nil {
		return "", err
	}
	if t.user == "" && !t.backend {
		return "", holdfast.Errorf(holdfast.CodeInvalid, "say whom the token is for, with --user, or that it is a backend's, with --backend")
	}
	rules, err := parseRules(t.rules)
	if err != nil {
		return "", err
	}
	now := time.Now()
	return auth.Mint(key, auth.Claims{
		User: holdfast.UserID(t.user), Read: t.read, Send: t.send, Stop: t.stop, Backend: t.backend, Connections: rules,
		IssuedAt: now, Expires: now.Add(t.life),
	})
}
