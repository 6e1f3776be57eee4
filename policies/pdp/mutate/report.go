package mutate

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Report is a run's result.
type Report struct {
	Mutants     int      `json:"mutants"`
	Killed      int      `json:"killed"`
	Survived    int      `json:"survived"`
	Equivalent  int      `json:"equivalent"`
	Invalid     int      `json:"invalid"`
	KillPercent float64  `json:"kill_percent"`
	GatePercent float64  `json:"gate_percent"`
	Seconds     float64  `json:"seconds"`
	Problems    []string `json:"problems"`
	// Verdicts holds every mutant in JSON; as text only the survivors are printed.
	Verdicts []Verdict `json:"verdicts"`
}

func newReport(verdicts []Verdict, problems []string, gatePercent, seconds float64) *Report {
	count := func(outcome Outcome) (n int) {
		for _, verdict := range verdicts {
			if verdict.Outcome == outcome {
				n++
			}
		}
		return n
	}
	r := &Report{
		Mutants:     len(verdicts),
		Killed:      count(Killed),
		Survived:    count(Survived),
		Equivalent:  count(Equivalent),
		Invalid:     count(Invalid),
		KillPercent: 100,
		GatePercent: gatePercent,
		Seconds:     seconds,
		Problems:    append([]string{}, problems...),
		Verdicts:    verdicts,
	}
	if judged := r.Killed + r.Survived; judged > 0 {
		r.KillPercent = 100 * float64(r.Killed) / float64(judged)
	}
	return r
}

// passes says whether the tests kill enough, and the list of equivalent mutants is right.
func (r *Report) passes() bool { return r.KillPercent >= r.GatePercent && len(r.Problems) == 0 }

func (r *Report) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r)
}

func (r *Report) writeText(w io.Writer) {
	for _, verdict := range r.Verdicts {
		if verdict.Outcome == Survived {
			writeDiff(w, verdict)
		}
	}
	for _, problem := range r.Problems {
		fmt.Fprintln(w, problem)
	}
	r.writeFiles(w)
	fmt.Fprintf(w, "%d mutants in %.0f s: %d killed, %d survived, %d equivalent, %d invalid\n",
		r.Mutants, r.Seconds, r.Killed, r.Survived, r.Equivalent, r.Invalid)
	fmt.Fprintf(w, "the tests kill %.1f %%; at least %.0f %% it has to be\n", r.KillPercent, r.GatePercent)
}

func writeDiff(w io.Writer, verdict Verdict) {
	fmt.Fprintf(w, "%s:%d: %s (%s in %s, mutant %d)\n", verdict.File, verdict.Line, verdict.Outcome, verdict.Operator, verdict.Rule, verdict.Number)
	fmt.Fprintf(w, "  - %s\n  + %s\n", verdict.Old, verdict.New)
	if verdict.By != "" {
		fmt.Fprintf(w, "  %s\n", verdict.By)
	}
}

func (r *Report) writeFiles(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer table.Flush()
	fmt.Fprintln(table, "killed\tsurvived\tequivalent\tinvalid\t  file")
	counts := map[string]map[Outcome]int{}
	var files []string
	for _, verdict := range r.Verdicts {
		if counts[verdict.File] == nil {
			counts[verdict.File] = map[Outcome]int{}
			files = append(files, verdict.File)
		}
		counts[verdict.File][verdict.Outcome]++
	}
	slices.Sort(files)
	for _, file := range files {
		n := counts[file]
		fmt.Fprintf(table, "%d\t%d\t%d\t%d\t  %s\n", n[Killed], n[Survived], n[Equivalent], n[Invalid], file)
	}
}
