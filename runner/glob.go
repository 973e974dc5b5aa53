package main

import (
	"fmt"
	"path"
	"sort"
	"strings"
	"unicode"
)

// Globs as the local agent's library reads them (tinyglobby with picomatch; testdata/globs.json has
// what both must answer): `*`, `?`, `[...]`, `{a,b}`, `{1..3}`, `@(a|b)` and its kin, `**` as a whole
// segment, names that begin with a dot like any others, `!` before a pattern to leave files out, and
// a folder's name for all that is in it.
type globs struct{ in, out [][]string }

// A pattern that stands for more than this is a mistake.
const alternativesMax = 10_000

func parseGlobs(patterns []string) (globs, error) {
	var all globs
	for _, pattern := range patterns {
		list := &all.in
		if strings.HasPrefix(pattern, "!") && !strings.HasPrefix(pattern, "!(") {
			pattern, list = pattern[1:], &all.out
		}
		if pattern == "" {
			continue
		}
		expanded, err := expandBraces(normalize(pattern))
		if err != nil {
			return all, err
		}
		for _, one := range expanded {
			*list = append(*list, parsePath(one))
		}
	}
	return all, nil
}

func normalize(pattern string) string {
	pattern = strings.TrimSuffix(pattern, "/")
	if !strings.HasSuffix(pattern, "*") {
		pattern += "/**"
	}
	return path.Clean(pattern)
}

func (g globs) match(name string) bool {
	segments := strings.Split(name, "/")
	return matchesAny(g.in, segments) && !matchesAny(g.out, segments)
}

func matchesAny(patterns [][]string, segments []string) bool {
	for _, pattern := range patterns {
		if matchPath(pattern, segments) {
			return true
		}
	}
	return false
}

func matchPath(pattern, segments []string) bool {
	if len(pattern) == 0 {
		return len(segments) == 0
	}
	if pattern[0] == "**" {
		for skip := 0; skip <= len(segments); skip++ {
			if matchPath(pattern[1:], segments[skip:]) {
				return true
			}
		}
		return false
	}
	if len(segments) == 0 {
		return false
	}
	return matchSegment([]rune(pattern[0]), []rune(segments[0])) && matchPath(pattern[1:], segments[1:])
}

// At each slash that is not within brackets. `a/**` also means the file `a`, but `a*/**` does not mean
// the file `ab`: picomatch makes this difference by the star.
func parsePath(pattern string) []string {
	segments := splitTop(pattern, '/')
	last := len(segments) - 1
	if last > 0 && segments[last] == "**" && segments[last-1] != "**" && strings.HasSuffix(segments[last-1], "*") {
		segments = append(segments[:last], "*", "**")
	}
	return segments
}

// Splits where a separator stands outside of brackets and is not escaped.
func splitTop(text string, separator rune) []string {
	var parts []string
	depth, begin, isEscaped := 0, 0, false
	for at, char := range text {
		switch {
		case isEscaped:
			isEscaped = false
		case char == '\\':
			isEscaped = true
		case char == '(' || char == '{':
			depth++
		case (char == ')' || char == '}') && depth > 0:
			depth--
		case char == separator && depth == 0:
			parts = append(parts, text[begin:at])
			begin = at + 1
		}
	}
	return append(parts, text[begin:])
}

// The place behind the bracket that closes the one at `open`; -1 when none does.
func closing(text string, open int, left, right byte) int {
	depth := 0
	for at := open; at < len(text); at++ {
		switch text[at] {
		case '\\':
			at++
		case left:
			depth++
		case right:
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
	return -1
}

func expandBraces(pattern string) ([]string, error) {
	for open := 0; open < len(pattern); open++ {
		if pattern[open] == '\\' {
			open++
			continue
		}
		if pattern[open] != '{' {
			continue
		}
		end := closing(pattern, open, '{', '}')
		if end < 0 {
			break
		}
		choices := braceChoices(pattern[open+1 : end-1])
		if choices == nil {
			continue
		}
		var expanded []string
		for _, choice := range choices {
			more, err := expandBraces(pattern[:open] + choice + pattern[end:])
			if err != nil {
				return nil, err
			}
			if expanded = append(expanded, more...); len(expanded) > alternativesMax {
				return nil, fmt.Errorf("the glob %s stands for more than %d others", pattern, alternativesMax)
			}
		}
		return expanded, nil
	}
	return []string{pattern}, nil
}

func braceChoices(body string) []string {
	if choices := splitTop(body, ','); len(choices) > 1 {
		return choices
	}
	// A range is a class of characters: `{1..3}` is `[1-3]`, and `{1..10}` is no more than it says then.
	ends := strings.Split(body, "..")
	if len(ends) < 2 {
		return nil
	}
	sort.Strings(ends)
	class := strings.Join(ends, "-")
	if !isClass([]rune(class)) {
		return []string{strings.Join(ends, "..")}
	}
	return []string{"[" + class + "]"}
}

// Whether each range of a class goes up.
func isClass(body []rune) bool {
	for at := 0; at+2 < len(body); at++ {
		if body[at+1] == '-' {
			if body[at] > body[at+2] {
				return false
			}
			at += 2
		}
	}
	return true
}

func matchSegment(pattern, text []rune) bool {
	if len(pattern) == 0 {
		return len(text) == 0
	}
	if group, isGroup := readGroup(pattern); isGroup {
		return group.match(text)
	}
	switch pattern[0] {
	case '*':
		rest := pattern
		for len(rest) > 0 && rest[0] == '*' && !opensGroup(rest) {
			rest = rest[1:]
		}
		for skip := 0; skip <= len(text); skip++ {
			if matchSegment(rest, text[skip:]) {
				return true
			}
		}
		return false
	case '?':
		return len(text) > 0 && matchSegment(pattern[1:], text[1:])
	case '[':
		if class, isClass := readClass(pattern); isClass {
			return class.match(text)
		}
	case '\\':
		if len(pattern) > 1 {
			pattern = pattern[1:]
		}
	}
	return len(text) > 0 && pattern[0] == text[0] && matchSegment(pattern[1:], text[1:])
}

// `?(a|b)`, `*(…)`, `+(…)`, `@(…)`, `!(…)` and `(…)`.
type group struct {
	kind    rune
	choices [][]rune
	whole   []rune
	rest    []rune
}

func opensGroup(pattern []rune) bool {
	return len(pattern) > 1 && pattern[1] == '(' && strings.ContainsRune("?*+@!", pattern[0])
}

func readGroup(pattern []rune) (group, bool) {
	g := group{kind: '@'}
	open := 0
	if opensGroup(pattern) {
		g.kind, open = pattern[0], 1
	} else if pattern[0] != '(' {
		return g, false
	}
	text := string(pattern)
	begin := len(string(pattern[:open]))
	end := closing(text, begin, '(', ')')
	if end < 0 {
		return g, false
	}
	for _, choice := range splitTop(text[begin+1:end-1], '|') {
		g.choices = append(g.choices, []rune(choice))
	}
	g.whole, g.rest = []rune(text[:end]), []rune(text[end:])
	return g, true
}

func (g group) isChoice(text []rune) bool {
	for _, choice := range g.choices {
		if matchSegment(choice, text) {
			return true
		}
	}
	return false
}

// `!(a|b)` matches what does not begin with `a` or `b`: so picomatch reads it unless it is the very end
// of a pattern, which never comes, as `/**` is put behind.
func (g group) matchNegated(text []rune) bool {
	for length := 0; length <= len(text); length++ {
		if g.isChoice(text[:length]) {
			return false
		}
	}
	return matchSegment(append([]rune{'*'}, g.rest...), text)
}

func (g group) match(text []rune) bool {
	if g.kind == '!' {
		return g.matchNegated(text)
	}
	if (g.kind == '?' || g.kind == '*') && matchSegment(g.rest, text) {
		return true
	}
	for length := 0; length <= len(text); length++ {
		head, tail := text[:length], text[length:]
		if !g.isChoice(head) {
			continue
		}
		if matchSegment(g.rest, tail) {
			return true
		}
		isRepeated := g.kind == '*' || g.kind == '+'
		if isRepeated && length > 0 && matchSegment(append(append([]rune{}, g.whole...), g.rest...), tail) {
			return true
		}
	}
	return false
}

// `[a-z]`, `[!a]`, `[^a]` and `[[:alpha:]]`.
type class struct {
	isNegated bool
	body      []rune
	rest      []rune
}

func readClass(pattern []rune) (class, bool) {
	at := 1
	c := class{}
	if at < len(pattern) && (pattern[at] == '!' || pattern[at] == '^') {
		c.isNegated = true
		at++
	}
	begin := at
	for ; at < len(pattern); at++ {
		switch {
		case pattern[at] == '\\':
			at++
		case pattern[at] == '[' && at+1 < len(pattern) && pattern[at+1] == ':':
			for at < len(pattern)-1 && !(pattern[at] == ':' && pattern[at+1] == ']') || at == begin {
				at++
			}
			at++
		case pattern[at] == ']' && at > begin:
			c.body, c.rest = pattern[begin:at], pattern[at+1:]
			return c, true
		}
	}
	return c, false
}

func (c class) match(text []rune) bool {
	if len(text) > 0 && c.holds(text[0]) != c.isNegated && matchSegment(c.rest, text[1:]) {
		return true
	}
	// picomatch also takes a plain class literally: a file may be called `[ab]`.
	literal := append(append([]rune{'['}, c.body...), ']')
	if c.isNegated || strings.ContainsAny(string(c.body), `-*+?.^${}(|)[]\`) {
		return false
	}
	return len(text) >= len(literal) && string(text[:len(literal)]) == string(literal) &&
		matchSegment(c.rest, text[len(literal):])
}

var namedClasses = map[string]func(rune) bool{
	"alpha": func(r rune) bool { return r < 128 && unicode.IsLetter(r) },
	"digit": func(r rune) bool { return r >= '0' && r <= '9' },
	"alnum": func(r rune) bool { return r < 128 && (unicode.IsLetter(r) || unicode.IsDigit(r)) },
	"upper": func(r rune) bool { return r >= 'A' && r <= 'Z' },
	"lower": func(r rune) bool { return r >= 'a' && r <= 'z' },
	"space": unicode.IsSpace,
	"punct": func(r rune) bool { return r < 128 && (unicode.IsPunct(r) || unicode.IsSymbol(r)) },
}

func (c class) holds(char rune) bool {
	for at := 0; at < len(c.body); at++ {
		first := c.body[at]
		if name, length := namedClass(c.body[at:]); length > 0 {
			if named := namedClasses[name]; named != nil && named(char) {
				return true
			}
			at += length - 1
			continue
		}
		if first == '\\' && at+1 < len(c.body) {
			at++
			first = c.body[at]
		}
		if at+2 < len(c.body) && c.body[at+1] == '-' {
			if first <= char && char <= c.body[at+2] {
				return true
			}
			at += 2
			continue
		}
		if first == char {
			return true
		}
	}
	return false
}

// A name such as `[:alpha:]` and its length.
func namedClass(body []rune) (string, int) {
	text := string(body)
	if !strings.HasPrefix(text, "[:") {
		return "", 0
	}
	name, _, found := strings.Cut(text[2:], ":]")
	if !found {
		return "", 0
	}
	return name, len([]rune(name)) + 4
}
