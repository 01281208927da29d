package message

import (
	"unicode/utf16"
	"unicode/utf8"
)

// unescape returns what a string's text, which the scanner has accepted, stands
// for, in UTF-8. A lone surrogate, which UTF-8 has no place for, is written as
// UTF-8 would if it had: U+FFFD in its place would make different ids one, and
// keys would sort otherwise.
func unescape(inside []byte) []byte {
	dst := make([]byte, 0, len(inside))
	for i := 0; i < len(inside); {
		if inside[i] != '\\' {
			dst = append(dst, inside[i])
			i++
			continue
		}
		r, size := escaped(inside[i:])
		i += size
		if utf16.IsSurrogate(r) && i+1 < len(inside) && inside[i] == '\\' && inside[i+1] == 'u' {
			low, more := escaped(inside[i:])
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				r = pair
				i += more
			}
		}
		if utf16.IsSurrogate(r) {
			dst = append(dst, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
		} else {
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

// escaped returns the UTF-16 unit that a backslash sequence stands for, and the
// sequence's length.
func escaped(text []byte) (unit rune, size int) {
	switch c := text[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		for _, digit := range text[2:6] {
			unit = unit<<4 | rune(hexValue(digit))
		}
		return unit, 6
	default:
		return rune(c), 2
	}
}

// hexValue is the value of a hexadecimal digit, -1 if c is none.
func hexValue(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
