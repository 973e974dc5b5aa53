module majorana/runner

go 1.19
