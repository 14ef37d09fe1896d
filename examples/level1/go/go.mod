module segue/level1

go 1.19
