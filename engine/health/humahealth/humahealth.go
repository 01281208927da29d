// Package humahealth puts the probes of an HTTP service on its huma API, so that
// they stand in the API's OpenAPI document.
package humahealth

import (
	"context"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/observatory-go/observatory/engine/health"
)

// Register adds GET livez, healthz and readyz, under the application's prefix, with
// these tags. The answers are those of [health.Application], byte for byte: nothing
// that the API adds to its other answers, such as a link to their schema, is in them;
// their schemas are called ApplicationReport and ApplicationChecks.
// The application stays the caller's, who closes it.
func Register(api huma.API, application *health.Application, tags ...string) {
	livez, healthz, readyz := application.Paths()
	live := func(context.Context) (int, health.ApplicationReport) { return application.Live() }
	add(api, huma.Operation{OperationID: "livez", Path: livez, Summary: "Whether the application runs"}, tags, live)
	add(api, huma.Operation{OperationID: "healthz", Path: healthz, Summary: "Whether the application runs"}, tags, live)
	add(api, huma.Operation{OperationID: "readyz", Path: readyz, Summary: "Whether its dependencies answer"}, tags, application.Ready,
		http.StatusServiceUnavailable)
}

// add registers a probe, which answers 200 or one of the other states.
func add(api huma.API, o huma.Operation, tags []string, probe func(context.Context) (int, health.ApplicationReport), others ...int) {
	o.Method, o.Tags = http.MethodGet, tags
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[health.ApplicationReport](), true, "ApplicationReport")
	o.Responses = make(map[string]*huma.Response)
	for _, status := range append([]int{http.StatusOK}, others...) {
		o.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status),
			Content:     map[string]*huma.MediaType{"application/json": {Schema: schema}},
		}
	}
	huma.Register(api, o, func(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
		status, body := probe(ctx)
		return &huma.StreamResponse{Body: func(answer huma.Context) {
			answer.SetHeader("Content-Type", "application/json")
			answer.SetStatus(status)
			_, _ = answer.BodyWriter().Write(body.Text()) // the client may have closed the connection
		}}, nil
	})
}
