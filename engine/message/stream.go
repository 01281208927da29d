package message

import "strings"

// Category is the category that a stream belongs to: the text before its first
// dash. "shop::order-17" is of "shop::order".
func Category(stream string) string {
	category, _, _ := strings.Cut(stream, "-")
	return category
}

// CommandSuffix is what the stream of a category's commands adds to its name.
const CommandSuffix = ":command"

// CommandCategory is the category of the commands for a category's aggregates.
func CommandCategory(category string) string { return category + CommandSuffix }

// DomainOf is the domain that a stream's name begins with, "" where it has none.
func DomainOf(stream string) string {
	domain, _, found := strings.Cut(stream, "::")
	if !found {
		return ""
	}
	return domain
}
