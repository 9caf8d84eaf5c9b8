// Package webhook brings what happens in sessions to receivers over HTTP: what users send, ends of runs, stops,
// requests and who is there, as CloudEvents 1.0, signed as Standard Webhooks says.
//
// # Delivery
//
// The store's feed is the outbox: an event is in it in the same atomic step as what it tells of. Each endpoint follows the
// feed with a cursor of its own. Events of one session are delivered one after another, sessions side by side, each event
// at least once and always under the same id. What is tried when is decided by package schedule, which is pure; here it is
// carried out.
//
// # What is stored
//
// Under webhook/<endpoint>/ in the store's consumers: "place" is how far the endpoint has come, "lane/…" are the sessions
// that are behind it, "dead/…" are the events that were given up. All of it survives a crash at any moment; what was sent
// just before one is sent again.
//
// # Concurrency
//
// All methods may be called at any time. Run is called once.
package webhook
