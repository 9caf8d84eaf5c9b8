// Package house holds the rules of this repository as tests, and nothing that runs in the product.
//
//   - deps_test.go: who may import whom.
//   - style_test.go: budgets for functions, files, parameters and structs; documentation; goroutines; sleeps in tests.
//   - words_test.go: words that must not get into the repository.
//   - links_test.go: links and test names in the documents lead somewhere.
//
// The tests read the repository as git sees it: what is tracked, and what is new and not ignored. Outside of a git
// checkout they walk the directories instead. A failure names the file and the line and says what to do. Each check is
// itself tested on a small bad example, so that a check that has gone blind is noticed.
package house
