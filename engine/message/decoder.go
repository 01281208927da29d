package message

import "strings"

// decoder reads the values of a message's known keys and remembers which key it
// stands at.
type decoder struct {
	scanner
	// kept is the text from base on, as a string that decoded strings share.
	kept string
	base int
	// path leads to the value being read, level is its length.
	path  [4]keyText
	level int
	// orphaned says that the metadata read last has no headers.
	orphaned bool
}

// keep copies the rest of the text once, so that the strings read from here on
// cost no allocation each. Metadata comes last in what Python writes, so that
// the payload is not in the copy.
func (d *decoder) keep() {
	if d.kept == "" {
		d.base, d.kept = d.pos, string(d.text[d.pos:])
	}
}

// object takes an object's opening brace; next then goes through its members.
func (d *decoder) object() {
	if d.peek() != '{' {
		d.wrong("an object")
		return
	}
	d.open()
	d.level++
}

// next moves to the next member's value and reports whether there is one.
func (d *decoder) next() bool {
	if !d.more('}') {
		d.level--
		return false
	}
	d.path[d.level-1] = d.rawKey()
	return d.err == nil
}

// name is the key of the value being read.
func (d *decoder) name() []byte { return d.keyBytes(d.path[d.level-1]) }

// null takes null if it is next.
func (d *decoder) null() bool { return d.peek() == 'n' && d.word("null") }

// wrong fails with the kind of value that stands where another was wanted, or,
// where none stands, with that.
func (d *decoder) wrong(want string) {
	got := kindOf(d.peek())
	if d.skip() {
		d.bad("must be " + want + ", is " + got)
	}
}

func kindOf(c byte) string {
	switch c {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// bad fails at the value being read.
func (d *decoder) bad(reason string) {
	if d.err != nil {
		return
	}
	var path []string
	for level := range d.level {
		path = append(path, string(d.keyBytes(d.path[level])))
	}
	d.err = &DecodeError{Path: strings.Join(path, "."), Reason: reason}
}
