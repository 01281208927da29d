package message

// Decode reads the wire's JSON text of one message, in one pass. The whole text
// must be JSON in UTF-8, at most 1000 levels deep; NaN and Infinity are not
// JSON. Unknown keys are accepted at every level; keys of the wire format must
// have its types, and of a key that occurs twice the last counts. The two older
// forms of metadata are understood: flat, and with the headers at the top
// level.
//
// The payload and the extensions of the result are parts of text, which must
// not be changed afterwards. The checksum is not verified: see
// [Envelope.Verify]. Every error is a *[DecodeError].
func Decode(text []byte) (e Envelope, err error) {
	d := decoder{scanner: scanner{text: text}}
	d.message(&e)
	if d.err != nil {
		return Envelope{}, d.err
	}
	return e, nil
}

func (d *decoder) message(e *Envelope) {
	var metadata bool
	for d.object(); d.next(); {
		switch string(d.name()) {
		case "data":
			e.Data = d.rawObject()
		case "metadata":
			metadata = true
			d.metadata(&e.Metadata)
		default:
			d.skip()
		}
	}
	d.end()
	d.require(e.Data != nil, "data")
	d.require(metadata, "metadata")
	if d.orphaned && d.err == nil {
		d.topLevelHeaders(&e.Metadata.Headers)
	}
}

// require fails where a key that every message has is missing.
func (d *decoder) require(present bool, key string) {
	if !present && d.err == nil {
		d.err = &DecodeError{Path: key, Reason: "missing"}
	}
}

func (d *decoder) metadata(m *Metadata) {
	*m = Metadata{}
	d.keep()
	start, headers, flat := d.pos, false, false
	for d.object(); d.next(); {
		switch string(d.name()) {
		case "headers":
			headers = true
			d.headers(&m.Headers)
		case "envelope":
			d.integrity(&m.Integrity)
		case "domain":
			d.domain(&m.Domain)
		case "event_store":
			d.eventStore(&m.EventStore)
		case "extensions":
			m.Extensions = d.rawObject()
		case "fqn":
			flat = true
			d.skip()
		default:
			d.skip()
		}
	}
	d.orphaned = !headers && !flat
	if !headers && flat && d.err == nil {
		d.pos = start
		d.flatMetadata(m)
	}
}

// flatMetadata reads the metadata of early releases, which had no headers and
// whose payload_hash is not a checksum.
func (d *decoder) flatMetadata(m *Metadata) {
	*m = Metadata{Domain: newDomain()}
	for d.object(); d.next(); {
		switch string(d.name()) {
		case "id":
			m.Headers.ID = d.optionalText()
		case "timestamp":
			m.Headers.Time = d.time()
		case "type":
			m.Headers.Type = d.optionalText()
		case "stream":
			m.Headers.Stream = d.optionalText()
		default:
			d.domainKey(&m.Domain)
		}
	}
}

// topLevelHeaders reads the headers of a message whose metadata has none: a
// headers object beside it, or else the four keys that identify a message.
func (d *decoder) topLevelHeaders(h *Headers) {
	d.pos, d.base, d.kept = 0, 0, string(d.text)
	var whole, loose Headers
	var hasWhole, hasLoose bool
	for d.object(); d.next(); {
		switch string(d.name()) {
		case "headers":
			hasWhole = true
			d.headers(&whole)
		case "id", "time", "type", "stream":
			hasLoose = true
			d.headerKey(&loose)
		default:
			d.skip()
		}
	}
	switch {
	case hasWhole:
		*h = whole
	case hasLoose:
		*h = loose
	default:
		d.require(false, "metadata.headers")
	}
}
