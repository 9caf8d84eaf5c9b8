package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/holdfast/holdfast"
)

// Settings come, each overriding the next, from flags, from environment variables (HOLDFAST_ and the flag's name in
// capitals, with _ for -), from the file that --config names (YAML, with the flags' names as keys), and from defaults. The
// flags are the only list of them; docs/configuration.md is generated from it.

const envPrefix = "HOLDFAST_"

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// settle gives the flags that were not set on the command line their values from the environment and the file.
func settle(cmd *cobra.Command) error {
	flags := cmd.Flags()
	if err := unknownEnv(flags); err != nil {
		return err
	}
	file, err := readConfig(flags)
	if err != nil {
		return err
	}
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || failed != nil {
			return
		}
		value, where := os.Getenv(envName(f.Name)), envName(f.Name)
		if value == "" {
			value, where = file[f.Name], f.Name+" in the configuration file"
		}
		if value == "" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = holdfast.Wrap(holdfast.CodeInvalid, err, "%s is not usable", where)
		}
	})
	return failed
}

// unknownEnv refuses variables of ours that name no setting, which are misspelt: passing them over would be a silent loss.
// Those that begin with HOLDFAST_TEST_ are the tests' own.
func unknownEnv(flags *pflag.FlagSet) error {
	known := map[string]bool{}
	flags.VisitAll(func(f *pflag.Flag) { known[envName(f.Name)] = true })
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, envPrefix) && !known[name] && !strings.HasPrefix(name, envPrefix+"TEST_") {
			return holdfast.Errorf(holdfast.CodeInvalid, "the environment variable %s names no setting; holdfast serve --help lists them", name)
		}
	}
	return nil
}

// readConfig reads the file that --config or its variable names, if any.
func readConfig(flags *pflag.FlagSet) (map[string]string, error) {
	f := flags.Lookup("config")
	if f == nil {
		return nil, nil
	}
	path := f.Value.String()
	if path == "" {
		path = os.Getenv(envName("config"))
	}
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the configuration file cannot be read")
	}
	var in map[string]any
	if err := yaml.Unmarshal(text, &in); err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the configuration file %s is not valid YAML", path)
	}
	out := map[string]string{}
	for name, v := range in {
		if flags.Lookup(name) == nil || name == "config" {
			return nil, holdfast.Errorf(holdfast.CodeInvalid, "%s has a setting %q that does not exist; holdfast serve --help lists them", path, name)
		}
		out[name], err = settingText(v)
		if err != nil {
			return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "%s: %s", path, name)
		}
	}
	return out, nil
}

// settingText is a YAML value as a flag takes it: lists are joined by commas.
func settingText(v any) (string, error) {
	switch v := v.(type) {
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = fmt.Sprint(v[i])
		}
		return strings.Join(parts, ","), nil
	case map[string]any:
		return "", fmt.Errorf("a setting has one value or a list, not members")
	case nil:
		return "", nil
	}
	return fmt.Sprint(v), nil
}
