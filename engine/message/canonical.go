package message

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
)

// canonicalizer rewrites a JSON text as Python's json.dumps(sort_keys=True,
// separators=(",", ":")) writes the parsed value: the form that is hashed.
type canonicalizer struct {
	scanner
	out []byte
	// members are those of the objects that are open, innermost last.
	members []span
	sorted  []byte
}

// span is an object's member in out, with its unescaped key.
type span struct {
	key        []byte
	start, end int
}

var canonicalizers = sync.Pool{New: func() any {
	return &canonicalizer{out: make([]byte, 0, 1024), sorted: make([]byte, 0, 1024), members: make([]span, 0, 32)}
}}

// withCanonical calls use with the canonical text, which is only lent.
func withCanonical(text []byte, use func(canonical []byte)) error {
	c := canonicalizers.Get().(*canonicalizer)
	defer c.release()
	c.scanner = scanner{text: text}
	c.value()
	c.end()
	if c.err != nil {
		return c.err
	}
	use(c.out)
	return nil
}

// release gives c back without the text, and without memory that only a rare
// giant needed.
func (c *canonicalizer) release() {
	const most = 64 << 10
	if cap(c.out)+cap(c.sorted) > most || cap(c.members) > most/64 {
		return
	}
	clear(c.members[:cap(c.members)])
	c.scanner, c.out, c.members = scanner{}, c.out[:0], c.members[:0]
	canonicalizers.Put(c)
}

func (c *canonicalizer) value() {
	switch c.peek() {
	case '{':
		c.object()
	case '[':
		c.array()
	case '"':
		inside, _ := c.quoted()
		c.out = appendCanonicalString(c.out, inside)
	case 't', 'f', 'n':
		start := c.pos
		c.skip()
		c.out = append(c.out, c.text[start:c.pos]...)
	default:
		literal, whole := c.number()
		c.out = appendCanonicalNumber(c.out, literal, whole)
	}
}

func (c *canonicalizer) array() {
	c.out = append(c.out, '[')
	start := len(c.out)
	for c.open(); c.more(']'); {
		if len(c.out) > start {
			c.out = append(c.out, ',')
		}
		c.value()
	}
	c.out = append(c.out, ']')
}

func (c *canonicalizer) object() {
	c.out = append(c.out, '{')
	outer, ascending := len(c.members), true
	for c.open(); c.more('}'); {
		if len(c.members) > outer {
			c.out = append(c.out, ',')
		}
		m := c.member()
		if n := len(c.members); n > outer {
			ascending = ascending && bytes.Compare(c.members[n-1].key, m.key) < 0
		}
		c.members = append(c.members, m)
	}
	if !ascending {
		c.sort(c.members[outer:])
	}
	c.members = c.members[:outer]
	c.out = append(c.out, '}')
}

func (c *canonicalizer) member() span {
	start := len(c.out)
	at := c.rawKey()
	key := c.text[at.start:at.end]
	c.out = append(appendCanonicalString(c.out, key), ':')
	c.value()
	if at.escaped {
		key = unescape(key)
	}
	return span{key, start, len(c.out)}
}

// sort puts an object's members, which are the end of out, in order. UTF-8
// sorts as its code points do. Of equal keys the last counts.
func (c *canonicalizer) sort(members []span) {
	start := members[0].start
	slices.SortStableFunc(members, func(a, b span) int { return bytes.Compare(a.key, b.key) })
	c.sorted = c.sorted[:0]
	for i, m := range members {
		if i+1 < len(members) && bytes.Equal(m.key, members[i+1].key) {
			continue
		}
		c.sorted = append(append(c.sorted, c.out[m.start:m.end]...), ',')
	}
	c.out = append(c.out[:start], c.sorted[:len(c.sorted)-1]...)
}

// appendCanonicalString quotes the inside of a JSON string, which the scanner
// has accepted.
func appendCanonicalString(dst, inside []byte) []byte {
	dst = append(dst, '"')
	for len(inside) > 0 {
		run := plainRun(inside, 0)
		dst = append(dst, inside[:run]...)
		if inside = inside[run:]; len(inside) == 0 {
			break
		}
		var size int
		if inside[0] == '\\' {
			var unit rune
			unit, size = escaped(inside)
			dst = appendUnit(dst, unit)
		} else {
			var r rune
			r, size = utf8.DecodeRune(inside)
			dst = appendASCII(dst, r)
		}
		inside = inside[size:]
	}
	return append(dst, '"')
}

// appendASCII writes a character as Python does with ensure_ascii.
func appendASCII(dst []byte, r rune) []byte {
	if r < 0x10000 {
		return appendUnit(dst, r)
	}
	r -= 0x10000
	return appendUnit(appendUnit(dst, 0xd800+r>>10), 0xdc00+r&0x3ff)
}

// appendUnit writes one UTF-16 unit; the halves of a pair need no more than
// being written side by side.
func appendUnit(dst []byte, unit rune) []byte {
	const digits = "0123456789abcdef"
	switch unit {
	case '"', '\\':
		return append(dst, '\\', byte(unit))
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	if ' ' <= unit && unit < 0x7f {
		return append(dst, byte(unit))
	}
	return append(dst, '\\', 'u', digits[unit>>12], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}

// appendCanonicalNumber keeps an integer as it is, however long, and writes a
// float as Python's repr does.
func appendCanonicalNumber(dst, literal []byte, whole bool) []byte {
	switch {
	case whole && string(literal) == "-0":
		return append(dst, '0')
	case whole || isShortest(literal):
		return append(dst, literal...)
	}
	f, _ := strconv.ParseFloat(string(literal), 64) // out of range: infinite, as in Python
	switch abs := math.Abs(f); {
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	case abs != 0 && (abs < 1e-4 || abs >= 1e16):
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if bytes.IndexByte(dst[start:], '.') < 0 {
		dst = append(dst, ".0"...)
	}
	return dst
}

// isShortest reports, for the commonest floats, that their text is already what
// repr writes: at most 15 digits, which a float64 always keeps apart, no
// exponent, no zero to drop at the end, and not so small as to need an
// exponent.
func isShortest(literal []byte) bool {
	literal = bytes.TrimPrefix(literal, []byte("-"))
	point := bytes.IndexByte(literal, '.')
	if point < 0 || len(literal) > 16 || bytes.ContainsAny(literal, "eE") {
		return false
	}
	fraction := literal[point+1:]
	if len(fraction) == 1 {
		return true
	}
	return literal[0] != '0' && fraction[len(fraction)-1] != '0'
}
