package message

import "strconv"

// DecodeError says why a text is not a message.
type DecodeError struct {
	// Path is the key that is wrong, from the top level on
	// ("metadata.headers.time"); empty where the text as a whole is.
	Path string
	// Reason says what is wrong with it. It quotes at most a few characters
	// of the text.
	Reason string
}

// Error is path and reason.
func (e *DecodeError) Error() string {
	if e.Path == "" {
		return "message: " + e.Reason
	}
	return e.Path + ": " + e.Reason
}

// quoteShort quotes a value for an error, cut where it is long.
func quoteShort[T string | []byte](value T) string {
	const most = 32
	if len(value) > most {
		return strconv.Quote(string(value[:most])) + "…"
	}
	return strconv.Quote(string(value))
}
