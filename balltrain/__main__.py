from balltrain.cli import main

main()
