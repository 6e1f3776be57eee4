package mutate

import (
	"fmt"
	"os"
	"strings"

	"github.com/open-policy-agent/opa/v1/util"
)

// equivalent is a person's word that a mutant decides everything as the policy does, or
// differs where no test should look.
type equivalent struct {
	File string `json:"file"`
	Rule string `json:"rule"`
	Old  string `json:"old"`
	New  string `json:"new"`
	Why  string `json:"why"`
}

func (e equivalent) is(mutant Mutant) bool {
	return e.File == mutant.File && e.Rule == mutant.Rule && e.Old == mutant.Old && e.New == mutant.New
}

func (e equivalent) String() string {
	return fmt.Sprintf("%s: %s: - %s + %s", e.File, e.Rule, e.Old, e.New)
}

// loadEquivalents reads the list; "" is an empty one.
func loadEquivalents(file string) ([]equivalent, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list struct {
		Equivalent []equivalent `json:"equivalent"`
	}
	if err := util.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, entry := range list.Equivalent {
		if strings.TrimSpace(entry.Why) == "" {
			return nil, fmt.Errorf("%s: %s: say why no test can tell", file, entry)
		}
	}
	return list.Equivalent, nil
}

// excuse turns survivors that are listed into equivalent ones, and says which entries
// of the list are wrong. An entry of a file that was not judged says nothing.
func excuse(verdicts []Verdict, list []equivalent, whole bool) (problems []string) {
	for _, entry := range list {
		found := false
		for i := range verdicts {
			if !entry.is(verdicts[i].Mutant) {
				continue
			}
			found = true
			if verdicts[i].Outcome == Survived {
				verdicts[i].Outcome, verdicts[i].By = Equivalent, entry.Why
			} else if verdicts[i].Outcome != Equivalent {
				problems = append(problems, fmt.Sprintf("%s: listed as equivalent, but %s: remove the entry", entry, verdicts[i].Outcome))
			}
		}
		if !found && whole {
			problems = append(problems, fmt.Sprintf("%s: listed as equivalent, but there is no such mutant: remove the entry", entry))
		}
	}
	return problems
}
