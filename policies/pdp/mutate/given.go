package mutate

import (
	"encoding/json"
	"fmt"
	"os"
)

// given is a mutant of the grants as it comes from outside: who publishes the grants
// knows what may be wrong with them, and what publishing refuses.
type given struct {
	Mutant
	Grants  map[string]any `json:"grants"`
	Refused string         `json:"refused"`
	Touches []string       `json:"touches"`
}

// loadGiven reads mutants of the grants, a list; "" is an empty one.
func loadGiven(file string) ([]Mutant, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []given
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	mutants := make([]Mutant, 0, len(list))
	for _, one := range list {
		mutant := one.Mutant
		mutant.grants, mutant.refused, mutant.touches = one.Grants, one.Refused, one.Touches
		mutants = append(mutants, mutant)
	}
	return mutants, nil
}
