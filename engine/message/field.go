package message

// FieldText reads one top-level field of a JSON object without decoding the
// rest: the text of a string, and of a number or boolean the literal as it
// stands. It reports false where the field is absent, null, an object or an
// array, and where text is not a JSON object. Of a key that occurs twice the
// last counts.
func FieldText(text []byte, name string) (string, bool) {
	s := scanner{text: text}
	if s.peek() != '{' {
		return "", false
	}
	var value []byte
	var found bool
	for s.open(); s.more('}'); {
		if string(s.key()) == name {
			value, found = s.scalar()
		} else {
			s.skip()
		}
	}
	if s.end(); !found || s.err != nil {
		return "", false
	}
	return string(value), true
}

// scalar takes any value and returns its text if it is a string, a number or a
// boolean.
func (s *scanner) scalar() (text []byte, ok bool) {
	switch s.peek() {
	case '{', '[', 'n':
		s.skip()
		return nil, false
	case '"':
		inside, escaped := s.quoted()
		if escaped {
			inside = unescape(inside)
		}
		return inside, true
	}
	start := s.pos
	s.skip()
	return s.text[start:s.pos], true
}
