package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/server"
)

// webhookSettings say who gets events. One endpoint is made of flags; more are in a file of their own, since a setting has
// no members.
type webhookSettings struct {
	one    endpointSettings
	file   string
	policy server.WebhookPolicy
}

// endpointSettings are one endpoint; the names are those of the file.
type endpointSettings struct {
	Name        string   `yaml:"name"`
	URL         string   `yaml:"url"`
	SecretFiles []string `yaml:"secret-files"`
	Events      []string `yaml:"events"`
	Sessions    []string `yaml:"sessions"`
}

func (w *webhookSettings) register(f *pflag.FlagSet) {
	f.StringVar(&w.one.URL, "webhook-url", "", "URL that messages of users and ends of runs are posted to; empty for none")
	f.StringSliceVar(&w.one.SecretFiles, "webhook-secret-file", nil, "files with the secrets that sign them, whsec_… and one a line; several while one is replaced")
	f.StringSliceVar(&w.one.Events, "webhook-events", nil, "types of events to send, such as holdfast.run.ended; docs/webhooks.md has all; default: messages, ends of runs, requests")
	f.StringSliceVar(&w.one.Sessions, "webhook-sessions", nil, "patterns of sessions whose events to send; default: all")
	f.StringVar(&w.file, "webhook-file", "", "file with further webhook endpoints (YAML); docs/webhooks.md describes it")
	p := &w.policy
	f.StringVar(&p.Source, "webhook-source", "/holdfast", "source that events name (CloudEvents), a URI reference")
	f.DurationVar(&p.Timeout, "webhook-timeout", 15*time.Second, "how long a receiver may take for its answer")
	f.DurationSliceVar(&p.Retries, "webhook-retries", server.DefaultWebhookRetries(), "the most that is waited after each failure of an event; after one more it is a dead letter")
	f.DurationVar(&p.MaxAge, "webhook-max-age", 24*time.Hour, "an event that fails and is older is a dead letter; keep feed-age longer")
	f.DurationVar(&p.LetterAge, "webhook-letter-age", 30*24*time.Hour, "how long dead letters are kept")
	f.IntVar(&p.Concurrency, "webhook-concurrency", 16, "requests to one endpoint at once")
}

// endpoints are all that were set.
func (w *webhookSettings) endpoints() (all []server.Webhook, err error) {
	list := []endpointSettings{}
	if w.file != "" {
		if list, err = readEndpoints(w.file); err != nil {
			return nil, err
		}
	}
	switch {
	case w.one.URL != "":
		list = append(list, w.one)
	case len(w.one.SecretFiles)+len(w.one.Events)+len(w.one.Sessions) > 0:
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "there is a webhook-secret-file, webhook-events or webhook-sessions, and no --webhook-url")
	}
	for _, e := range list {
		hook, err := e.endpoint()
		if err != nil {
			return nil, err
		}
		all = append(all, hook)
	}
	return all, nil
}

func readEndpoints(path string) (list []endpointSettings, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "webhook-file cannot be read")
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&list); err != nil && !errors.Is(err, io.EOF) {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "webhook-file is not a list of endpoints with name, url, secret-files, events and sessions")
	}
	for _, e := range list {
		if e.Name == "" {
			return nil, holdfast.Errorf(holdfast.CodeInvalid, "an endpoint in webhook-file has no name; its place in the feed is kept under it")
		}
	}
	return list, nil
}

func (e *endpointSettings) endpoint() (server.Webhook, error) {
	hook := server.Webhook{Name: e.Name, URL: e.URL, Sessions: e.Sessions}
	for _, t := range e.Events {
		hook.Events = append(hook.Events, server.WebhookType(t))
	}
	for _, path := range e.SecretFiles {
		text, err := os.ReadFile(path)
		if err != nil {
			return hook, holdfast.Wrap(holdfast.CodeInvalid, err, "a webhook-secret-file cannot be read")
		}
		secrets, err := server.ParseWebhookSecrets(string(text))
		if err != nil {
			return hook, err
		}
		hook.Secrets = append(hook.Secrets, secrets...)
	}
	return hook, nil
}
