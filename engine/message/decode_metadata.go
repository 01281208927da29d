package message

func (d *decoder) headers(h *Headers) {
	*h = Headers{}
	for d.object(); d.next(); {
		d.headerKey(h)
	}
}

func (d *decoder) headerKey(h *Headers) {
	switch string(d.name()) {
	case "id":
		h.ID = d.optionalText()
	case "time":
		h.Time = d.time()
	case "type":
		h.Type = d.optionalText()
	case "stream":
		h.Stream = d.optionalText()
	case "traceparent":
		d.traceParent(&h.TraceParent)
	case "idempotency_key":
		h.IdempotencyKey = d.optionalText()
	case "deadline":
		h.Deadline = d.time()
	default:
		d.skip()
	}
}

func (d *decoder) traceParent(t *TraceParent) {
	*t = TraceParent{}
	if d.null() {
		return
	}
	for d.object(); d.next(); {
		switch string(d.name()) {
		case "trace_id":
			t.TraceID = d.requiredText()
		case "parent_id":
			t.ParentID = d.requiredText()
		case "sampled":
			t.Sampled = d.boolean()
		default:
			d.skip()
		}
	}
}

func (d *decoder) integrity(i *Integrity) {
	*i = Integrity{}
	if d.null() {
		return
	}
	for d.object(); d.next(); {
		switch string(d.name()) {
		case "specversion":
			i.SpecVersion = d.requiredText()
		case "checksum":
			i.Checksum = d.optionalText()
		default:
			d.skip()
		}
	}
}

// newDomain has the values of absent keys.
func newDomain() Domain { return Domain{Version: 1, Asynchronous: true} }

func (d *decoder) domain(m *Domain) {
	*m = Domain{}
	if d.null() {
		return
	}
	m.Version, m.Asynchronous = 1, true // newDomain, without the copy
	for d.object(); d.next(); {
		d.domainKey(m)
	}
}

func (d *decoder) domainKey(m *Domain) {
	switch string(d.name()) {
	case "fqn":
		m.FQN = d.optionalText()
	case "kind":
		m.Kind = d.optionalText()
	case "origin_stream":
		m.OriginStream = d.optionalText()
	case "stream_category":
		m.StreamCategory = d.optionalText()
	case "version":
		m.Version = d.version()
	case "sequence_id":
		m.SequenceID = d.optionalText()
	case "asynchronous":
		m.Asynchronous = d.boolean()
	case "expected_version":
		m.ExpectedVersion = d.optionalInteger()
	case "priority":
		m.Priority = int(d.integer())
	case "correlation_id":
		m.CorrelationID = d.optionalText()
	case "causation_id":
		m.CausationID = d.optionalText()
	default:
		d.skip()
	}
}

func (d *decoder) eventStore(s *EventStore) {
	*s = EventStore{}
	if d.null() {
		return
	}
	for d.object(); d.next(); {
		switch string(d.name()) {
		case "global_position":
			s.GlobalPosition = d.optionalInteger()
		case "position":
			s.Position = d.optionalInteger()
		default:
			d.skip()
		}
	}
}
