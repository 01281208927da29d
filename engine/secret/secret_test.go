package secret_test

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/secret"
)

func TestHide(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, want string
		secrets    []string
	}{
		{`failed for user "me"`, `failed for user "***"`, []string{"me"}},
		{"User me may not", "User *** may not", []string{"me"}},
		{"me", "***", []string{"me"}},
		{"some home me-too me.example", "some home me-too me.example", []string{"me"}}, // no secret there
		{"xhunter2xx hunter2", "xhunter2xx ***", []string{"hunter2"}},
		{"xhunter22x", "x***x", []string{"hunter22"}},
		{"at p%40ss%2Fword", "at ***", []string{"p@ss/word"}},
		{`"a\"b\nc"`, `"***"`, []string{"a\"b\nc"}},
		{"hunter22 and hunter22long", "*** and ***", []string{"hunter22", "hunter22long"}},
		{"as it is", "as it is", []string{""}},
		{"ä", "***", []string{"ä"}},
	} {
		require.Equal(t, c.want, secret.Secrets{Values: c.secrets}.Hide(c.text), c.text)
	}
}

func TestAUserIsHiddenWhereATextSaysThatItIsOne(t *testing.T) {
	t.Parallel()
	s := secret.Secrets{Users: []string{"shop"}}
	for text, want := range map[string]string{
		`FATAL: password authentication failed for user "shop" (SQLSTATE 28P01)`: `FATAL: password authentication failed for user "***" (SQLSTATE 28P01)`,
		`no pg_hba.conf entry for host "shop", user "shop", database "shop"`:     `no pg_hba.conf entry for host "shop", user "***", database "***"`,
		"NOPERM User shop has no permissions to run the 'xadd' command":          "NOPERM User *** has no permissions to run the 'xadd' command",
		"user=shop":                      "user=***",
		`stream "shop::order" at shop:1`: `stream "shop::order" at shop:1`,
		"user shopping":                  "user shopping",
	} {
		require.Equal(t, want, s.Hide(text))
	}
}

func TestErrorKeepsWhatItWraps(t *testing.T) {
	t.Parallel()
	require.NoError(t, secret.Secrets{}.Error(nil))
	err := secret.Secrets{Values: []string{"hunter22"}}.Error(errors.Join(errors.New("hunter22 \n\t"), io.EOF))
	require.EqualError(t, err, "*** EOF")
	require.ErrorIs(t, err, io.EOF)
}
