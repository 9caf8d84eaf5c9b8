package main

import (
	"strings"
	"testing"

	"github.com/holdfast/holdfast/internal/fakemodel"
)

func TestItAnswers(t *testing.T) {
	var out strings.Builder
	in := strings.NewReader("What is a session?\nfail:cut\n\nnot asked any more\n")
	if err := run(t.Context(), func(string) string { return "" }, in, &out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), fakemodel.Text+"\n[complete "); n != 1 {
		t.Errorf("the answer is there %d times in %q", n, &out)
	}
	if !strings.Contains(out.String(), `[failed {"error":{"code":"provider_cut"`) && !strings.Contains(out.String(), `"code":"provider_cut"`) {
		t.Errorf("no word of the failure in %q", &out)
	}
}
