package deliver

import (
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxReason is how much of an answer becomes the reason of a rejection.
	maxReason = 1 << 10
	// maxDrain and drainTimeout bound what is read of an answer, so that its
	// connection can be kept.
	maxDrain     = 64 << 10
	drainTimeout = time.Second
)

// answer is what a target answered.
type answer struct {
	status int
	header http.Header // may be nil with 2xx
	text   string      // the beginning of one that is not 2xx, as valid UTF-8
}

// noAnswer is why there is none, and how far the request got.
type noAnswer struct {
	err       error
	timedOut  bool // the call's time ran out
	connected bool // there was a connection to send the request on
	wroteAll  bool // the request was written whole: the target may have it
}

// readAnswer reads an answer so far as its connection is worth, and reports
// whether it was read to its end. Its reader ends in time.
func readAnswer(resp *http.Response) (a answer, whole bool) {
	a = answer{status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return a, false // the body is the connection, which no context ends
	}
	if resp.ContentLength == 0 {
		return a, true
	}
	if resp.StatusCode/100 != 2 {
		// More than is shown, or a secret at the cut would not be recognised.
		head, err := io.ReadAll(io.LimitReader(resp.Body, 4*maxReason))
		a.text = strings.TrimSpace(strings.ToValidUTF8(string(head), "\uFFFD"))
		if err != nil {
			return a, false
		}
	}
	n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxDrain))
	return a, err == nil && n < maxDrain
}

// clip cuts a text at a rune's start, at most n bytes in.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
