package auth

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/holdfast/holdfast"
)

// maxSecretFile bounds what is read: a larger file is not a secret but a wrong path.
const maxSecretFile = 4096

// NewSecret returns 256 random bits as a text of 43 letters, digits, - and _. The text itself is the secret: other
// programs use its bytes as they stand, without decoding.
func NewSecret() []byte {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program rather than return weak bytes
	return base64.RawURLEncoding.AppendEncode(nil, b[:])
}

// LoadOrCreateSecret reads the secret in a file, or makes one and writes it there when there is none. Of several
// programs that do so at once all get the same. For development: a secret in use belongs in the secret store.
func LoadOrCreateSecret(path string) ([]byte, error) {
	secret, err := LoadSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	if err := SaveSecret(path, NewSecret()); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return LoadSecret(path)
}

// LoadSecret reads the secret in a file, without white space around it. A file that others may read or write is refused
// (not on Windows, where the mode does not tell). Errors are [holdfast.CodeInvalid] and wrap [fs.ErrNotExist] when there
// is no file.
func LoadSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the secret file cannot be opened")
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the secret file cannot be examined")
	}
	if !info.Mode().IsRegular() || info.Size() > maxSecretFile {
		return nil, holdfast.Errorf(holdfast.CodeInvalid,
			"%s is not a secret file: it must be a regular file of at most %d bytes", path, maxSecretFile)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, holdfast.Errorf(holdfast.CodeInvalid,
			"the secret file %s has mode %04o, so that others can use it; run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the secret file cannot be read")
	}
	secret := bytes.TrimSpace(data)
	if _, err := SecretKey("", secret); err != nil {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "the secret file %s: %s", path, holdfast.MessageOf(err))
	}
	return secret, nil
}

// SaveSecret writes a secret to a new file with mode 0600, making its directory (0700) if needed. The file appears whole
// or not at all. One that exists is never overwritten: the error then wraps [fs.ErrExist].
func SaveSecret(path string, secret []byte) error {
	if _, err := SecretKey("", secret); err != nil {
		return err
	}
	if !bytes.Equal(secret, bytes.TrimSpace(secret)) || len(secret) >= maxSecretFile {
		return holdfast.Errorf(holdfast.CodeInvalid,
			"the secret cannot be kept in a file: it begins or ends with white space, or has %d bytes or more", maxSecretFile)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return holdfast.Wrap(holdfast.CodeInvalid, err, "the directory of the secret file cannot be made")
	}
	temp, err := os.CreateTemp(dir, ".secret-*") // mode 0600 from the start: at no time can another user read it
	if err != nil {
		return holdfast.Wrap(holdfast.CodeInvalid, err, "the secret file cannot be made")
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(append(bytes.Clone(secret), '\n'))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return holdfast.Wrap(holdfast.CodeInvalid, err, "the secret file cannot be written")
	}
	// A link fails if the name is taken, a rename would replace another program's secret.
	if err := os.Link(temp.Name(), path); err != nil {
		return holdfast.Wrap(holdfast.CodeInvalid, err, "the secret file cannot be put in place")
	}
	return nil
}
