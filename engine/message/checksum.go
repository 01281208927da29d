package message

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrChecksum is wrapped by what [Envelope.Verify] returns where the payload is
// not the one that was sealed.
var ErrChecksum = errors.New("checksum mismatch")

// Verify compares the payload with the checksum that came with it. A message
// without one passes. Where both an integer and a float would do, as in 42 and
// 42.0, they are different payloads.
func (e *Envelope) Verify() error {
	want := e.Metadata.Integrity.Checksum
	if want == "" {
		return nil
	}
	got, err := digest(e.Data)
	if err != nil {
		return err
	}
	if string(got[:]) != want {
		return fmt.Errorf("%w: the payload hashes to %s…, the envelope says %.8s…",
			ErrChecksum, string(got[:8]), want)
	}
	return nil
}

// Checksum is the wire's checksum of a payload: lower-case hex SHA-256 of its
// canonical text. It fails, with a *[DecodeError], on what is not JSON.
func Checksum(data []byte) (string, error) {
	sum, err := digest(data)
	return string(sum[:]), err
}

func digest(data []byte) (text [2 * sha256.Size]byte, err error) {
	err = withCanonical(data, func(canonical []byte) {
		sum := sha256.Sum256(canonical)
		hex.Encode(text[:], sum[:])
	})
	return text, err
}
