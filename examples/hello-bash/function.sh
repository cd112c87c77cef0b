handler() {
  local name
  name="$(grep -o '"name" *: *"[^"]*"' <<< "$1" | cut -d '"' -f 4)"
  echo "greeting ${name:=World}" >&2
  echo "{\"message\": \"Hello, $name!\", \"from\": \"bash $BASH_VERSION\"}"
}
