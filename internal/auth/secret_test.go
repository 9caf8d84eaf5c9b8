package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast/holdfast"
)

func TestLoadOrCreateSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "secret")
	first, err := LoadOrCreateSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadOrCreateSecret(path)
	if err != nil || !bytes.Equal(first, again) || len(first) != 43 {
		t.Errorf("%d bytes, the same again: %v, %v", len(first), bytes.Equal(first, again), err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("directory's mode %v, %v", dir.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("files left behind: %v", left)
	}
	if bytes.Equal(NewSecret(), NewSecret()) {
		t.Error("two secrets are the same")
	}
}

func TestLoadOrCreateSecretAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	var wg sync.WaitGroup
	got := make([]string, 16)
	for i := range got {
		wg.Go(func() {
			s, err := LoadOrCreateSecret(path)
			if err != nil {
				t.Error(err)
			}
			got[i] = string(s)
		})
	}
	wg.Wait()
	for _, s := range got {
		if s != got[0] || s == "" {
			t.Fatal("two programs got different secrets")
		}
	}
}

func TestLoadSecretRefuses(t *testing.T) {
	good := string(NewSecret())
	for name, c := range map[string]struct {
		text string
		mode fs.FileMode
		want string
	}{
		"readable by the group": {good, 0o640, "chmod 600"},
		"readable by all":       {good, 0o604, "chmod 600"},
		"writable by all":       {good, 0o602, "chmod 600"},
		"short":                 {"short\n", 0o600, "5 bytes"},
		"empty":                 {"", 0o600, "0 bytes"},
		"large":                 {strings.Repeat("x", 5000), 0o600, "at most 4096"},
		"public key":            {string(publicPEM(t, ring().ed)), 0o600, "key file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := LoadOrCreateSecret(path)
			if holdfast.CodeOf(err) != holdfast.CodeInvalid || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if strings.Contains(fmt.Sprint(err), good) {
				t.Error("the error holds the secret")
			}
			if now, _ := os.ReadFile(path); string(now) != c.text {
				t.Error("the file was changed")
			}
		})
	}
	if _, err := LoadSecret(t.TempDir()); holdfast.CodeOf(err) != holdfast.CodeInvalid {
		t.Errorf("a directory: %v", err)
	}
	if _, err := LoadSecret(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestSaveSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for name, secret := range map[string]string{
		"short": "short", "space at the end": string(NewSecret()) + " ", "large": strings.Repeat("x", 5000),
	} {
		if err := SaveSecret(path, []byte(secret)); holdfast.CodeOf(err) != holdfast.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	mine := NewSecret()
	if err := SaveSecret(path, mine); err != nil {
		t.Fatal(err)
	}
	if err := SaveSecret(path, NewSecret()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("overwrote a secret: %v", err)
	}
	if got, err := LoadSecret(path); err != nil || !bytes.Equal(got, mine) {
		t.Errorf("not the secret that was saved: %v", err)
	}
}
