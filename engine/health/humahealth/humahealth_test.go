package humahealth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/health"
	"github.com/observatory-go/observatory/engine/health/humahealth"
)

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return answer
}

func TestTheProbesStandInTheDocumentAndAnswerAsTheHandlerDoes(t *testing.T) {
	down := health.PingFunc(func(context.Context) error { return errors.New("refused") })
	application, err := health.NewApplication(health.ApplicationConfig{
		Prefix: "/internal", Checks: health.Checks{Brokers: map[string]health.Pinger{"default": down}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, application.Close()) })
	mux := http.NewServeMux()
	api := humago.New(mux, huma.DefaultConfig("shop", "1.0.0"))
	humahealth.Register(api, application, "health", "ops")

	for path, status := range map[string]int{"/internal/livez": 200, "/internal/healthz": 200, "/internal/readyz": 503} {
		got, want := get(t, mux, path), get(t, application, path)
		require.Equal(t, status, got.Code, path)
		require.Equal(t, want.Code, got.Code, path)
		require.Equal(t, want.Body.String(), got.Body.String(), path)
		require.Equal(t, "application/json", got.Header().Get("Content-Type"))
		require.NotContains(t, got.Header(), "Link")
	}

	var document struct {
		Paths map[string]map[string]struct {
			Tags      []string
			Responses map[string]struct {
				Content map[string]struct {
					Schema struct {
						Ref string `json:"$ref"`
					}
				}
			}
		}
		Components struct{ Schemas map[string]json.RawMessage }
	}
	require.NoError(t, json.Unmarshal(get(t, mux, "/openapi.json").Body.Bytes(), &document))
	require.Len(t, document.Paths, 3)
	ready := document.Paths["/internal/readyz"]["get"]
	require.Equal(t, []string{"health", "ops"}, ready.Tags)
	for _, status := range []string{"200", "503"} {
		require.Equal(t, "#/components/schemas/ApplicationReport", ready.Responses[status].Content["application/json"].Schema.Ref)
	}
	require.Contains(t, document.Components.Schemas, "ApplicationReport")
	require.NotContains(t, document.Paths["/internal/livez"]["get"].Responses, "503")
}

// The probes of a service, with its other operations, on one API.
func ExampleRegister() {
	application, err := health.NewApplication(health.ApplicationConfig{
		Checks: health.Checks{}, // those of the domain: domain.Checks()
		Prefix: "/internal",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = application.Close() }()

	mux := http.NewServeMux()
	api := humago.New(mux, huma.DefaultConfig("shop", "1.0.0"))
	humahealth.Register(api, application, "health")

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/internal/livez", nil))
	fmt.Println(answer.Code, answer.Body)
	// Output:
	// 200 {"status":"ok","checks":{"application":"running"}}
}
