package health

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// details is the body's object of checks. Its keys stand in Protean's order,
// which encoding/json would not keep.
func details(found []finding, subscriptions func() int) string {
	members := []string{
		`"shutting_down": false`,
		member(providers, familyObject(found, providers)),
		member(brokers, familyObject(found, brokers)),
	}
	for _, f := range found {
		if f.family == eventStore {
			members = append(members, member(eventStore, quote(f.word())))
		}
	}
	members = append(members, member(caches, familyObject(found, caches)))
	if subscriptions != nil {
		members = append(members, member("subscriptions", strconv.Itoa(subscriptions())))
	}
	return object(members)
}

func familyObject(found []finding, family string) string {
	var members []string
	for _, f := range found {
		if f.family == family {
			members = append(members, member(f.name, quote(f.word())))
		}
	}
	return object(members)
}

func (f finding) word() string {
	if f.err == nil {
		return "ok"
	}
	return "unavailable"
}

func object(members []string) string { return "{" + strings.Join(members, ", ") + "}" }

func member(name, value string) string { return quote(name) + ": " + value }

// quote writes a JSON text in ASCII, as Python does.
func quote(text string) string {
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string always encodes
	var ascii strings.Builder
	for _, r := range strings.TrimSuffix(plain.String(), "\n") {
		if r < 0x80 {
			ascii.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&ascii, `\u%04x`, unit)
		}
	}
	return ascii.String()
}
