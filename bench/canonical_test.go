package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChecksumsAreThoseOfTheWireFormat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ payload, canonical, sum string }{
		{
			payload:   `{"order_id": "3f1c9a1e-0c1f-4b0e-9f0a-8f8f2f0a7b11", "amount": 42.0, "note": "é €", "placed_at": "2026-03-02T10:30:00+00:00"}`,
			canonical: `{"amount":42.0,"note":"\u00e9 \u20ac","order_id":"3f1c9a1e-0c1f-4b0e-9f0a-8f8f2f0a7b11","placed_at":"2026-03-02T10:30:00+00:00"}`,
			sum:       "4f335799045c5b0a002a7c0a4b56f6b3bd95117088bce877fb8f9b20a2575efc",
		},
		{
			payload:   `{"i": 123456789012345678, "h": [1, 2.5], "g": true, "f": null, "e": "é😀\u2028/<>&\u007f", "d": 1e-07, "c": 1e+16, "b": 10.5, "a": 1.0}`,
			canonical: `{"a":1.0,"b":10.5,"c":1e+16,"d":1e-07,"e":"\u00e9\ud83d\ude00\u2028/<>&\u007f","f":null,"g":true,"h":[1,2.5],"i":123456789012345678}`,
			sum:       "884602d009f9be889ebe71132bdbad5d82bed32f0f45a3993555d6566f8430d3",
		},
	} {
		text, err := canonical([]byte(c.payload))
		require.NoError(t, err)
		require.Equal(t, c.canonical, text)
		require.Equal(t, c.sum, checksum(text))
	}
}
