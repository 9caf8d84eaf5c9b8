// Command model runs the language model that the examples talk to by default: it needs no network and no key, and speaks the
// wire formats of OpenAI (/v1/chat/completions) and of Anthropic (/v1/messages).
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/holdfast/holdfast/internal/fakemodel"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on")
	word := flag.Duration("word", 40*time.Millisecond, "how long it takes for a word")
	flag.Parse()
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/v1\n", l.Addr())
	srv := &http.Server{Handler: &fakemodel.Model{Word: *word}, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(srv.Serve(l))
}
