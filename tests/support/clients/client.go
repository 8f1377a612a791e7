// go run client.go URL BODY_FILE HEADERS_AS_JSON HOW: prints the status of each of 3 POSTs, or why it was lost.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	body, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	headers := map[string]string{}
	if err := json.Unmarshal([]byte(os.Args[3]), &headers); err != nil {
		panic(err)
	}
	for i := 0; i < 3; i++ {
		request, err := http.NewRequest("POST", os.Args[1], bytes.NewReader(body))
		if err != nil {
			panic(err)
		}
		for name, value := range headers {
			request.Header.Set(name, value)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			fmt.Println("lost:", err)
			continue
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		fmt.Println(answer.StatusCode)
	}
}
