package symbolic

import (
	"bytes"

	"paymesh.internal/pdp/jsonscan"
	"paymesh.internal/pdp/reads"
	"paymesh.internal/pdp/recorded"
)

// putToken writes a token's facts as far as the policy sees them; null if there are
// none.
func (f *Form) putToken(text []byte, seen *reads.Reads) bool {
	if len(text) == 0 || text[0] != '{' || authorization(seen.Input) == nil {
		f.Key = append(f.Key, "null"...)
		return true
	}
	withheld, header, claims, isValid := -1, -1, -1, false
	f.Key = append(f.Key, '{')
	end := jsonscan.Members(text, 0, func(name []byte, value int) int {
		switch string(name) {
		case "header":
			header = value
		case "claims":
			claims = value
		case "withheld":
			withheld = value
		default: // scheme, signature, key
			isValid = isValid || string(name) == "signature" && bytes.HasPrefix(text[value:], []byte(`"valid"`))
			f.name(name)
			next := f.whole(text, value)
			f.Key = append(f.Key, ',')
			return next
		}
		return 0
	})
	ok := end >= 0 && f.putPart("header", text, header, seen.Header, withheld, isValid) &&
		f.putPart("claims", text, claims, seen.Claims, withheld, isValid)
	f.close('}')
	return ok
}

// putPart writes header or claims, and symbols of unknown value for those members that
// the record withholds.
func (f *Form) putPart(name string, text []byte, part int, place *reads.Place, withheld int, isValid bool) bool {
	f.name([]byte(name))
	end := 0
	if part < 0 || text[part] != '{' {
		f.Key = append(f.Key, '{', '}')
	} else {
		end = f.put(text, part, place)
	}
	if withheld >= 0 && end >= 0 {
		f.Key = f.Key[:len(f.Key)-1] // the brace
		f.putWithheld(text, withheld, place, isValid)
		f.close('}')
	}
	f.Key = append(f.Key, ',')
	return end >= 0
}

func (f *Form) putWithheld(text []byte, i int, place *reads.Place, isValid bool) {
	jsonscan.Elements(text, i, func(value int) int {
		below := place.Member(jsonscan.Unquoted(text[value:jsonscan.Value(text, value)]))
		f.Partial = f.Partial || place.Use&reads.Whole != 0
		if below == nil {
			return 0
		}
		if last := f.Key[len(f.Key)-1]; last != '{' && last != ',' {
			f.Key = append(f.Key, ',')
		}
		f.name(jsonscan.Unquoted(text[value:jsonscan.Value(text, value)]))
		// What only a verification compares matters only if the issuer signed it.
		needed := reads.Whole
		if isValid {
			needed |= reads.Verify
		}
		f.Partial = f.Partial || below.Use&needed != 0
		f.scalar([]byte("null"), 0, below)
		return 0
	})
}

// authorization is where the token's header stands; nil if the policy does not read it.
func authorization(place *reads.Place) *reads.Place {
	for _, name := range recorded.AuthorizationPath() {
		if place == nil || place.Use&reads.Whole != 0 {
			return place
		}
		place = place.Member([]byte(name))
	}
	return place
}

// hasToken says whether a form begins with a token's facts.
func hasToken(key []byte) bool { return bytes.HasPrefix(key, []byte("{")) }
