package message

import (
	"fmt"
	"unicode/utf8"
)

// maxDepth bounds the nesting of objects and arrays, the outermost included.
// It is what Python's decoder can read, so that no message is handled by one
// side of a stream and refused by the other.
const maxDepth = 1000

// scanner takes one JSON text apart, in one pass and without allocating. The
// first failure sticks in err; after it every method does nothing of
// consequence and every loop over more ends.
//
// It accepts what encoding/json accepts, less two things: strings must be valid
// UTF-8, and the nesting ends at maxDepth.
type scanner struct {
	text  []byte
	pos   int
	depth int
	fresh bool // the last byte taken opened an object or array
	err   *DecodeError
}

// peek skips white space and returns the byte that follows without taking it,
// 0 at the end of the text.
func (s *scanner) peek() byte {
	for i := s.pos; i < len(s.text); i++ {
		if c := s.text[i]; c > ' ' || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			s.pos = i
			return c
		}
	}
	s.pos = len(s.text)
	return 0
}

// open takes the brace or bracket that peek has seen. Its members follow:
//
//	for s.open(); s.more('}'); {
//		key := s.key()
//		s.skip()
//	}
func (s *scanner) open() {
	s.pos++
	s.depth++
	s.fresh = true
	if s.depth > maxDepth {
		s.fail(fmt.Sprintf("nested deeper than %d levels", maxDepth))
	}
}

// more moves to the next member and reports whether there is one; at the end it
// takes the closing byte.
func (s *scanner) more(closing byte) bool {
	if s.err != nil {
		return false
	}
	first := s.fresh
	s.fresh = false
	switch c := s.peek(); {
	case c == closing:
		s.pos++
		s.depth--
		return false
	case first:
		return true
	case c == ',':
		s.pos++
		return true
	}
	return s.unexpected()
}

// key takes a member's key and its colon and returns the key unescaped.
func (s *scanner) key() []byte { return s.keyBytes(s.rawKey()) }

// rawKey is key without the unescaping.
func (s *scanner) rawKey() keyText {
	if s.peek() != '"' {
		s.unexpected()
		return keyText{}
	}
	start := s.pos + 1
	_, escaped := s.quoted()
	end := s.pos - 1
	if s.peek() != ':' {
		s.unexpected()
	}
	if s.err != nil { // also a key that broke off at a colon
		return keyText{}
	}
	s.pos++
	return keyText{start, end, escaped}
}

func (s *scanner) keyBytes(k keyText) []byte {
	inside := s.text[k.start:k.end]
	if k.escaped {
		return unescape(inside)
	}
	return inside
}

// keyText is where the text of a key stands. Offsets, unlike slices, are cheap
// to store while the garbage collector runs.
type keyText struct {
	start, end int
	escaped    bool
}

// skip takes one value of any kind.
func (s *scanner) skip() bool {
	switch c := s.peek(); c {
	case '"':
		s.quoted()
	case '{':
		for s.open(); s.more('}'); {
			s.rawKey()
			s.skip()
		}
	case '[':
		for s.open(); s.more(']'); {
			s.skip()
		}
	case 't':
		s.word("true")
	case 'f':
		s.word("false")
	case 'n':
		s.word("null")
	default:
		s.number()
	}
	return s.err == nil
}

// end fails unless the text ends here.
func (s *scanner) end() {
	if s.peek(); s.pos < len(s.text) {
		s.unexpected()
	}
}

// word takes one of the three literals.
func (s *scanner) word(w string) bool {
	if len(s.text)-s.pos < len(w) || string(s.text[s.pos:s.pos+len(w)]) != w {
		return s.unexpected()
	}
	s.pos += len(w)
	return true
}

// number takes a number and returns its text; whole says that it has neither a
// fraction nor an exponent.
func (s *scanner) number() (literal []byte, whole bool) {
	start := s.pos
	if s.at('-') {
		s.pos++
	}
	if s.at('0') {
		s.pos++
	} else if !s.digits() {
		return nil, false
	}
	whole = true
	if s.at('.') {
		s.pos++
		if whole = false; !s.digits() {
			return nil, false
		}
	}
	if s.at('e') || s.at('E') {
		s.pos++
		if s.at('+') || s.at('-') {
			s.pos++
		}
		if whole = false; !s.digits() {
			return nil, false
		}
	}
	return s.text[start:s.pos], whole
}

func (s *scanner) at(c byte) bool { return s.pos < len(s.text) && s.text[s.pos] == c }

// digits takes one digit or more.
func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.text) && isDigit(s.text[s.pos]) {
		s.pos++
	}
	return s.pos > start || s.unexpected()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// unexpected fails with what stands at the scanner's position.
func (s *scanner) unexpected() bool {
	if s.pos >= len(s.text) {
		return s.fail(fmt.Sprintf("not JSON: it breaks off at offset %d", len(s.text)))
	}
	r, size := utf8.DecodeRune(s.text[s.pos:])
	if r == utf8.RuneError && size == 1 {
		return s.fail(fmt.Sprintf("not JSON: unexpected byte 0x%02x at offset %d", s.text[s.pos], s.pos))
	}
	if r == 'N' || r == 'I' {
		return s.fail(fmt.Sprintf("not JSON: unexpected %q at offset %d (NaN and Infinity are not in JSON)", r, s.pos))
	}
	return s.fail(fmt.Sprintf("not JSON: unexpected %q at offset %d", r, s.pos))
}

func (s *scanner) fail(reason string) bool {
	if s.err == nil {
		s.err = &DecodeError{Reason: reason}
	}
	return false
}
