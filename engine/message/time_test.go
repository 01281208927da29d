package message

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The right sides are what pydantic, Python's reader, makes of the left; a time
// without an offset is UTC for us.
func TestEveryFormOfTimeThatTheWireKnows(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"2026-03-02T10:30:00.125000+00:00"`: "2026-03-02T10:30:00.125000+00:00",
		`"2026-03-02T10:30:00+00:00"`:        "2026-03-02T10:30:00+00:00",
		`"2026-03-02T10:30:00.123456789Z"`:   "2026-03-02T10:30:00.123456+00:00",
		`"2026-03-02T10:30:00.5z"`:           "2026-03-02T10:30:00.500000+00:00",
		`"2026-03-02T10:30:00,5Z"`:           "2026-03-02T10:30:00.500000+00:00",
		`"2026-03-02t10:30:00+05:30"`:        "2026-03-02T05:00:00+00:00",
		`"2026-03-02T10:30:00-0530"`:         "2026-03-02T16:00:00+00:00",
		`"2026-03-02T10:30:00+23:59"`:        "2026-03-01T10:31:00+00:00",
		`"2026-03-02 10:30"`:                 "2026-03-02T10:30:00+00:00",
		`"2026-03-02_10:30:00"`:              "2026-03-02T10:30:00+00:00",
		`"2026-03-02T10:30Z"`:                "2026-03-02T10:30:00+00:00",
		`"2026-03-02"`:                       "2026-03-02T00:00:00+00:00",
		`"2024-02-29"`:                       "2024-02-29T00:00:00+00:00",
		`"1700000000"`:                       "2023-11-14T22:13:20+00:00",
		`"1700000000.5"`:                     "2023-11-14T22:13:20.500000+00:00",
		`"-5"`:                               "1969-12-31T23:59:55+00:00",
		`"\u0032026-03-02"`:                  "2026-03-02T00:00:00+00:00",
		`1700000000`:                         "2023-11-14T22:13:20+00:00",
		`1700000000.25`:                      "2023-11-14T22:13:20.250000+00:00",
		`1700000000.1234567`:                 "2023-11-14T22:13:20.123457+00:00",
		`1700000000123`:                      "2023-11-14T22:13:20.123000+00:00",
		`20000000000`:                        "2603-10-11T11:33:20+00:00",
		`20000000001`:                        "1970-08-20T11:33:20.001000+00:00",
		`-20000000001`:                       "1969-05-14T12:26:39.999000+00:00",
		`1e3`:                                "1970-01-01T00:16:40+00:00",
	} {
		e, err := Decode([]byte(meta(`"headers": {"time": ` + value + `}`)))
		require.NoError(t, err, value)
		require.Equal(t, want, FormatTime(e.Metadata.Headers.Time), value)
		require.Equal(t, time.UTC, e.Metadata.Headers.Time.Location())
	}
}

func TestNonsenseIsNoTime(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "yesterday", "2026-02-30T10:30:00Z", "2026-02-29", "2026-13-01", "2026-03-02T24:00:00", "2026-03-02T10:60:00Z",
		"2026-03-02T10:30:60Z", " 2026-03-02T10:30:00Z", "2026-03-02T10:30:00Z ", "2026-03-02T10:30:00.Z", "2026-03-02T10:30:00+05",
		"2026-03-02T10:30:00 +05:00", "2026-03-02T10:30:00+24:00", "2026-03-02T10Z", "2026-03-02Z", "20260302T103000Z", "0000-01-01",
		"1e3", "0x10", "-Inf", "NaN", "--5", "99999999999999999999999", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00",
	} {
		_, ok := parseTime([]byte(text))
		require.False(t, ok, text)
	}
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{"2026-03-02T10:30:00.125000+00:00", "2026-03-02 10:30", "1700000000.5", "-5", "0001-01-01T00:00:00+01:00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		parsed, ok := parseTime(text)
		const layout = "2006-01-02T15:04:05-07:00"
		if want, err := time.Parse(layout, string(text)); err == nil && want.Format(layout) == string(text) && inRange(want.UTC()) {
			require.True(t, ok && want.Equal(parsed), "%q", text)
		}
		if !ok {
			return
		}
		again, ok := parseTime([]byte(FormatTime(parsed)))
		require.True(t, ok)
		require.True(t, parsed.Equal(again), "%q: %s, %s", text, parsed, again)
	})
}
