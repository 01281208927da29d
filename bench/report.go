package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// report is one run, as printed.
type report struct {
	Machine    machine     `json:"machine"`
	Rounds     int         `json:"rounds"`
	Throughput []score     `json:"throughput"`
	Delivery   []score     `json:"delivery,omitempty"`
	Latency    []delay     `json:"latency,omitempty"`
	Idle       *idleResult `json:"idle,omitempty"`
}

type machine struct {
	Go    string `json:"go"`
	Redis string `json:"redis"`
	OS    string `json:"os"`
	CPUs  int    `json:"cpus"`
}

// printer writes rows in one of the two forms of table.
type printer func(w io.Writer, rows [][]string) error

func (r report) json(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func (r report) print(w io.Writer, table printer) error {
	_, err := fmt.Fprintf(w, "%s, Redis %s, %s, %d CPUs; medians of %d rounds\n\n",
		r.Machine.Go, r.Machine.Redis, r.Machine.OS, r.Machine.CPUs, r.Rounds)
	if err != nil {
		return err
	}
	if err := table(w, rows("consume, decode, handle, acknowledge", r.Throughput)); err != nil {
		return err
	}
	if len(r.Delivery) > 0 {
		if _, err := fmt.Fprint(w, "\nDelivered over HTTP:\n\n"); err != nil {
			return err
		}
		if err := table(w, rows("deliver over HTTP", r.Delivery)); err != nil {
			return err
		}
	}
	if len(r.Latency) > 0 {
		if _, err := fmt.Fprint(w, "\nPublish to handler, idle:\n\n"); err != nil {
			return err
		}
		if err := table(w, latencies(r.Latency)); err != nil {
			return err
		}
	}
	if r.Idle == nil {
		return nil
	}
	_, err = fmt.Fprintf(w, "\n%d idle subscriptions: %.1f %% of a core, Redis %.1f %%, over %.0f s of silence.\n",
		r.Idle.Subscriptions, 100*r.Idle.CPU, 100*r.Idle.ServerCPU, r.Idle.Seconds)
	if err != nil || len(r.Idle.Latency) == 0 {
		return err
	}
	if _, err := fmt.Fprint(w, "\n"); err != nil {
		return err
	}
	return table(w, latencies(r.Idle.Latency))
}

func rows(what string, scores []score) [][]string {
	rows := [][]string{{what, "msgs/s", "low", "high", "× bare", "CPU µs/msg", "allocs/msg", "messages", "set-up"}}
	for _, s := range scores {
		rows = append(rows, []string{
			s.Name, whole(s.Median), whole(s.Low), whole(s.High), ratio(s.Ratio),
			fmt.Sprintf("%.1f", s.CPU), fmt.Sprintf("%.1f", s.Allocs), fmt.Sprint(s.Messages), s.Note,
		})
	}
	return rows
}

func latencies(delays []delay) [][]string {
	rows := [][]string{{"publish to handler", "p50 µs", "p99 µs", "p50 × bare", "p99 × bare", "samples"}}
	for _, d := range delays {
		rows = append(rows, []string{d.Name, whole(d.P50), whole(d.P99), ratio(d.Median), ratio(d.Ratio), fmt.Sprint(d.Samples)})
	}
	return rows
}

func whole(v float64) string { return fmt.Sprintf("%.0f", v) }

func ratio(v float64) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", v)
}

func plain(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if _, err := fmt.Fprintln(t, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

func markdown(w io.Writer, rows [][]string) error {
	for i, row := range rows {
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | ")); err != nil {
			return err
		}
		if i > 0 {
			continue
		}
		if _, err := fmt.Fprintf(w, "|%s\n", strings.Repeat(" --- |", len(row))); err != nil {
			return err
		}
	}
	return nil
}
