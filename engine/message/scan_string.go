package message

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// quoted takes a string, whose opening quote peek has seen, and returns what
// stands between the quotes.
func (s *scanner) quoted() (inside []byte, escaped bool) {
	text, start := s.text, s.pos+1
	for i := start; ; i = s.pos {
		if i = plainRun(text, i); i < len(text) && text[i] == '"' {
			s.pos = i + 1
			return text[start:i], escaped
		}
		s.pos = i
		escaped = escaped || s.at('\\')
		if !s.special() {
			return nil, false
		}
	}
}

// special takes what plainRun stops at within a string: an escape, or a
// character beyond ASCII.
func (s *scanner) special() bool {
	switch {
	case s.pos == len(s.text) || s.text[s.pos] < ' ':
		return s.unexpected()
	case s.text[s.pos] == '\\':
		return s.escape()
	}
	r, size := utf8.DecodeRune(s.text[s.pos:])
	if r == utf8.RuneError && size == 1 {
		return s.fail(fmt.Sprintf("not UTF-8: byte 0x%02x at offset %d", s.text[s.pos], s.pos))
	}
	s.pos += size
	return true
}

// escape takes one backslash sequence.
func (s *scanner) escape() bool {
	s.pos++
	if s.pos == len(s.text) {
		return s.unexpected()
	}
	switch s.text[s.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return true
	case 'u':
		s.pos++
	default:
		return s.unexpected()
	}
	for range 4 {
		if s.pos == len(s.text) || hexValue(s.text[s.pos]) < 0 {
			return s.unexpected()
		}
		s.pos++
	}
	return true
}

// plainRun returns the index of the first byte from i on that does not stand
// for itself in the canonical form of a string: a quote, a backslash, or a byte
// outside U+0020..U+007E. It looks at eight bytes at a time; a borrow can only
// spoil bytes above the first hit, so the lowest set bit is exact.
func plainRun(text []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		quote, slash, del := w^(ones*'"'), w^(ones*'\\'), w^(ones*0x7f)
		hits := w | (w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash | (del-ones)&^del
		if hits &= highs; hits != 0 {
			return i + bits.TrailingZeros64(hits)/8
		}
	}
	for i < len(text) && text[i] >= ' ' && text[i] < 0x7f && text[i] != '"' && text[i] != '\\' {
		i++
	}
	return i
}
