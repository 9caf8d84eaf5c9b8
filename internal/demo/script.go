package demo

import (
	"hash/fnv"
	"strings"
)

// fragment is one append as the API takes it.
type fragment struct {
	Part string `json:"part,omitempty"`
	Text string `json:"text"`
}

// compose makes the answer to a question, word by word. It is a function of its arguments, so that an answer can be gone
// on with after a crash: some thoughts as the part "reasoning", then several paragraphs.
func compose(message, question string) []fragment {
	h := fnv.New64a()
	_, _ = h.Write([]byte(message + "\x00" + question)) // never fails (package hash)
	seed := int(h.Sum64() % 1_000_003)

	var out []fragment
	for _, w := range words("The question is “" + clip(question, 80) + "”. I will say what I know, and take my time over it.") {
		out = append(out, fragment{Part: "reasoning", Text: w})
	}
	text := openings[seed%len(openings)] + "\n\n"
	first := seed % len(paragraphs)
	for i := range 5 {
		text += paragraphs[(first+i*3)%len(paragraphs)] + "\n\n"
	}
	text += closings[seed%len(closings)]
	for _, w := range words(text) {
		out = append(out, fragment{Text: w})
	}
	return out
}

func clip(s string, most int) string {
	runes := []rune(strings.Join(strings.Fields(s), " "))
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}

// words cuts a text into words, each with the white space before it.
func words(text string) []string {
	var out []string
	start, inWord := 0, false
	for i, r := range text {
		space := r == ' ' || r == '\n'
		if space && inWord {
			out = append(out, text[start:i])
			start = i
		}
		inWord = !space
	}
	return append(out, text[start:])
}

var openings = []string{
	"Let me walk through it. While I write, try to break this: **cut the connection**, reload, open the page in another window, or kill the server and start it again.",
	"Here is a longer answer, so that there is time to try things. Press **Blackhole** in the middle of it, and watch the light in the corner.",
	"Gladly. This text arrives word by word, and every window that shows this chat shows the same words, *whenever* it was opened.",
}

var closings = []string{
	"That is all. Reload the page: the answer is one entry now, and it looks the same.",
	"And that was the last word. If you cut the line on the way, you have it all the same, once.",
}

var paragraphs = []string{
	"A **session** is a log. Messages, answers, progress and events stand in it one after another, each at an *offset*. The log is on disk before anybody is shown what is in it, so what you have read cannot be taken back, not even by pulling the plug.",
	"A **connection** is only a pipe into the log. Pipes break: a train enters a tunnel, a laptop is closed, a proxy loses patience, a deploy replaces the server. None of that is an event in the life of the session. It goes on, and the next pipe begins where the last one ended.",
	"An answer like this one is a **run**: one entry that grows. Each word is a *fragment* with a number. A reader that comes back says which fragment it has, and gets exactly the rest, joined into as few pieces as possible:\n\n```\nhave  run 12, fragment 87\nget   fragments 88–131, in one frame\nthen  132, 133 ... as they are written\n```",
	"There is no queue for each reader. A reader is a **cursor** that moves along the log. A slow phone gets the same content in fewer, larger pieces; it is never cut off for being slow, and what it costs does not grow with how far behind it is.",
	"What you type is given an id before it is sent, and is sent again until it is acknowledged. If the acknowledgement is lost on the way, the second copy finds the id in the log and is answered with the place of the first. So:\n\n- nothing typed is lost,\n- nothing is sent twice,\n- and the order is the order of your keys.",
	"When a reader asks to go on, it is always answered, with one of four words: *continuous* (here is what you missed), *snapshot* (here is how it stands now), *lost* (that log is gone, this is another), or *denied*. Silence is not among them, nor is half an answer that looks like a whole one.",
	"The words are written by a small program that stands in for a language model. It is not part of the page. It reads what you asked from a feed over HTTP, opens a run, and appends words over HTTP, forty a second. If it dies in the middle of a sentence, it looks up which fragment was its last one, and goes on with the next.",
	"Both chats and the task share **one** connection. Each has its own cursor on it, so one that has much to catch up on does not hold up the others, and losing one of them would not touch the rest.",
	"The light in the corner tells the truth. *Live* means that the server was heard from a moment ago. When it has been silent for too long it is asked, and if it does not answer within two seconds the line is taken for dead, whatever the browser believes. Browsers believe in dead lines for up to a minute.",
	"Coming back takes one round trip: the first frame on a new connection carries who you are and how far you have come in every session, and what follows it is the answer. There is no asking for a list, no joining of rooms, no loading of history, and so nothing that could arrive in the wrong order.",
	"The windows of one browser share a connection too, and each has its own cursors on it. Close the one that has it, and another takes over. A browser that reconnects replaces its own ghost, the dead connection that the server still holds for it, at once; it never replaces another device.",
}
