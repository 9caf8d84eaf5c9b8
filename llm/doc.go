// Package llm writes a language model's answer into a run, as it is streamed: it reads the event stream of an
// OpenAI-compatible provider (chat completions, or responses) or of Anthropic (messages), and appends what it says.
//
//	run, err := srv.Session("chat-1").OpenRun(ctx, server.RunOptions{ID: "answer-1", Data: data})
//	answer, err := llm.Do(http.DefaultClient, req, llm.OpenAI, run)
//
// # What stands in the run
//
// Whatever the provider, a reader finds the same things in the same places:
//
//	part ""             text: the answer
//	part "reasoning"    text: what the model thought; events signature and redacted, which a provider wants back
//	part "refusal"      text: why the model will not answer
//	part "tool:<id>"    event tool-call; text: the call's arguments, as JSON; event tool-ready; event tool-result
//	part "source"       events source: what the answer is based on
//	the run's end       finish, usage, model and id, as [Answer]; with a failed run, error with code and message
//
// The events are JSON objects:
//
//	{"type":"tool-call","id":"call_1","name":"search"}        and "provider":true where the provider itself calls it
//	{"type":"tool-ready","id":"call_1"}                       the arguments are complete
//	{"type":"tool-result","id":"call_1","result":...}         or "error":"..."
//	{"type":"source","url":"https://...","title":"..."}
//	{"type":"signature","signature":"..."}, {"type":"redacted","data":"..."}
//
// # How it ends
//
// An answer that the provider has finished ends the run as complete. One that it failed or broke off ends the run as
// failed, with a reason that may be shown to people: what the provider said is in the error returned, and nowhere else. A
// run that ended while the provider was still talking (it was stopped, or another producer has it) ends the provider's
// request. A context that the caller ended leaves the run open, for whoever takes it over.
//
// # Rate and order
//
// One append is under way at a time. What the provider says meanwhile waits, and neighbouring pieces of one part become
// one append, so that a slow store gets fewer and larger fragments and never another text. While the provider is silent
// the run's lease is kept.
package llm
