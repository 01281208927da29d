package message

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEntryIDsAreReadAndWrittenAsRedisDoes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]EntryID{
		"0-0":             {},
		"0-1":             {Sequence: 1},
		"1795348481285-6": {Milliseconds: 1795348481285, Sequence: 6},
		"18446744073709551615-18446744073709551615": {Milliseconds: 1<<64 - 1, Sequence: 1<<64 - 1},
	} {
		got, err := ParseEntryID(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, text, got.String())
		require.Equal(t, text == "0-0", got.IsZero())
	}
}

func TestWhatIsNoEntryIDIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "x", "1", "1-", "-1", "-", "1-2-3", "1-x", "+1-1", "1--1", " 1-1", "99999999999999999999-1", "18446744073709551616-0"} {
		got, err := ParseEntryID(text)
		require.EqualError(t, err, fmt.Sprintf("%q is not an entry id: expected <milliseconds>-<sequence>", text))
		require.Zero(t, got)
	}
}

func TestEntryIDsCompareByTimeThenSequence(t *testing.T) {
	t.Parallel()
	ordered := []EntryID{{}, {0, 1}, {1, 0}, {1, 9}, {1, 10}, {9, 0}, {10, 0}, {1<<64 - 1, 0}, {1<<64 - 1, 1<<64 - 1}}
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			require.Equal(t, want, a.Compare(b), "%s and %s", a, b)
		}
	}
}

func FuzzEntryIDs(f *testing.F) {
	for _, seed := range []string{"0-0", "1795348481285-6", "18446744073709551615-18446744073709551615", "1", "-", "1-", "1-1-1", "x-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := ParseEntryID(text)
		if err != nil {
			return
		}
		again, err := ParseEntryID(parsed.String())
		require.NoError(t, err)
		require.Zero(t, parsed.Compare(again))
	})
}
